# mcuformer_firmware(target board): makes an executable's target a firmware image for a board:
# start-up, guards, application, the board's linker script, flags, and images to flash.

option(MCUFORMER_EMULATED "Link for QEMU: the board's lengths where the emulator has memory" OFF)
set(MCUFORMER_STACK_BYTES 4096 CACHE STRING "Bytes of stack; the application tells what it used")
set(MCUFORMER_SUPPORT ${CMAKE_CURRENT_LIST_DIR})
set(MCUFORMER_IO ${MCUFORMER_SUPPORT}/app/semihosting_io.cc CACHE FILEPATH
  "Source of the hooks of app/io.h: camera, UART")

set(MCUFORMER_CPU_stm32f427 -mcpu=cortex-m4 -mfpu=fpv4-sp-d16)
set(MCUFORMER_CPU_stm32f746 -mcpu=cortex-m7 -mfpu=fpv5-sp-d16)
set(MCUFORMER_CPU_stm32f746-discovery ${MCUFORMER_CPU_stm32f746})
set(MCUFORMER_CPU_stm32h743 -mcpu=cortex-m7 -mfpu=fpv5-d16)

# For every source of the image, kernels and TFLM included.
function(mcuformer_compile_for target board)
  if(NOT DEFINED MCUFORMER_CPU_${board})
    message(FATAL_ERROR "There is no board ${board}: stm32f427, stm32f746, "
      "stm32f746-discovery or stm32h743.")
  endif()
  target_compile_options(${target} PRIVATE
    ${MCUFORMER_CPU_${board}} -mfloat-abi=hard -mthumb -ffunction-sections -fdata-sections
    $<$<COMPILE_LANGUAGE:CXX>:-fno-rtti;-fno-exceptions;-fno-threadsafe-statics>)
  target_compile_features(${target} PRIVATE cxx_std_20)
endfunction()

function(mcuformer_firmware target board)
  mcuformer_compile_for(${target} ${board})
  target_sources(${target} PRIVATE
    ${MCUFORMER_SUPPORT}/app/main.cc
    ${MCUFORMER_SUPPORT}/app/semihosting.cc
    ${MCUFORMER_SUPPORT}/board/fault.cc
    ${MCUFORMER_SUPPORT}/board/protection.cc
    ${MCUFORMER_SUPPORT}/board/stack.cc
    ${MCUFORMER_SUPPORT}/board/start.cc
    ${MCUFORMER_IO})
  string(REPLACE "-" "_" start_up ${board})
  if(EXISTS ${MCUFORMER_SUPPORT}/board/start_up/${start_up}.cc AND NOT MCUFORMER_EMULATED)
    target_sources(${target} PRIVATE ${MCUFORMER_SUPPORT}/board/start_up/${start_up}.cc)
  endif()
  target_include_directories(${target} PRIVATE ${MCUFORMER_SUPPORT})
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Werror>)
  if(NOT board STREQUAL "stm32f427")
    target_compile_definitions(${target} PRIVATE MCUFORMER_HAS_CACHES)
  endif()
  target_link_options(${target} PRIVATE
    ${MCUFORMER_CPU_${board}} -mfloat-abi=hard -mthumb -nostartfiles --specs=nosys.specs
    -Wl,--gc-sections,--print-memory-usage,--no-warn-rwx-segments
    -Wl,--undefined=mcuformer_run
    -Wl,--defsym=STACK_BYTES=${MCUFORMER_STACK_BYTES}
    -L${MCUFORMER_SUPPORT}/board -T${MCUFORMER_SUPPORT}/board/${board}.ld)
  set(depends ${MCUFORMER_SUPPORT}/board/${board}.ld ${MCUFORMER_SUPPORT}/board/sections.ld)
  set_target_properties(${target} PROPERTIES SUFFIX .elf LINK_DEPENDS "${depends}")
  if(MCUFORMER_EMULATED)
    target_compile_definitions(${target} PRIVATE MCUFORMER_EMULATED)
    target_link_options(${target} PRIVATE -Wl,--defsym=EMULATED=1)
  else()
    # Internal flash for st-flash; external flash, where it is used, for its own loader.
    add_custom_command(TARGET ${target} POST_BUILD
      COMMAND ${CMAKE_OBJCOPY} -O binary --remove-section=.external
        $<TARGET_FILE:${target}> ${target}.bin
      COMMAND ${CMAKE_OBJCOPY} -O binary --only-section=.external
        $<TARGET_FILE:${target}> ${target}_external.bin)
  endif()
endfunction()
