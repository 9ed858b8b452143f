"""A model of the STM32 registers that start-up sets, which refuses what their manuals forbid.

It was written from the reference manuals RM0090 (STM32F42x), RM0385 (STM32F74x) and RM0433
(STM32H743) and from the data sheets; no chip was at hand to compare it with. Supply 2.7 to 3.6 V.
Of RM0385 and RM0433 we had excerpts, and the whole chapters of manuals that share their blocks
(RM0090, RM0399, RM0440); fields were compared with ST's CMSIS headers.

``chip`` is the bus with its registers and flags that come late, ``rcc``, ``pwr``, ``flash``,
``gpio`` and ``quadspi`` are the blocks, ``n25q128a`` is the flash behind QUADSPI, ``boards`` puts
them together, ``simulation`` runs compiled start-up on them, and ``mutants`` plays what that did
with one change.
"""
