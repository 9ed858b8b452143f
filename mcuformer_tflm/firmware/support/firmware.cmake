# mcuformer_firmware(target): makes an executable's target a firmware image for the board:
# start-up, guards, application, the board's linker script, flags, and images to flash.

option(MCUFORMER_EMULATED "Link for QEMU: the board's lengths where the emulator has memory" OFF)
set(MCUFORMER_STACK_BYTES 4096 CACHE STRING "Bytes of stack; the application tells what it used")
set(MCUFORMER_SUPPORT ${CMAKE_CURRENT_LIST_DIR})
set(MCUFORMER_IO ${MCUFORMER_SUPPORT}/app/semihosting_io.cc CACHE FILEPATH
  "Source of the hooks of app/io.h: camera, UART")
include(${MCUFORMER_SUPPORT}/board.cmake)
if(MCUFORMER_EMULATED AND MCUFORMER_NOT_EMULATED)
  message(FATAL_ERROR "MCUFORMER_EMULATED: ${MCUFORMER_NOT_EMULATED}")
endif()

# For every source of the image, kernels and TFLM included.
function(mcuformer_compile_for_board target)
  target_compile_options(${target} PRIVATE
    ${MCUFORMER_CPU} -ffunction-sections -fdata-sections
    $<$<COMPILE_LANGUAGE:CXX>:-fno-rtti;-fno-exceptions;-fno-threadsafe-statics>)
  target_compile_features(${target} PRIVATE cxx_std_20)
endfunction()

function(mcuformer_firmware target)
  mcuformer_compile_for_board(${target})
  target_sources(${target} PRIVATE
    ${MCUFORMER_SUPPORT}/app/main.cc
    ${MCUFORMER_SUPPORT}/app/semihosting.cc
    ${MCUFORMER_SUPPORT}/board/fault.cc
    ${MCUFORMER_SUPPORT}/board/protection_${MCUFORMER_PROTECTION}.cc
    ${MCUFORMER_SUPPORT}/board/stack.cc
    ${MCUFORMER_SUPPORT}/board/start.cc
    ${MCUFORMER_IO})
  set(board ${MCUFORMER_SUPPORT})
  if(MCUFORMER_EMULATED)
    set(board ${MCUFORMER_SUPPORT}/emulated)
  else()
    # It sets clocks and flash, which the emulator does not have.
    target_sources(${target} PRIVATE ${MCUFORMER_START_UP})
  endif()
  target_include_directories(${target} PRIVATE ${board} ${MCUFORMER_SUPPORT})
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Werror>)
  if(MCUFORMER_CACHES)
    target_compile_definitions(${target} PRIVATE MCUFORMER_HAS_CACHES)
  endif()
  target_link_options(${target} PRIVATE
    ${MCUFORMER_CPU} -nostartfiles --specs=nosys.specs
    -Wl,--gc-sections,--print-memory-usage,--no-warn-rwx-segments
    -Wl,--undefined=mcuformer_run
    -Wl,--defsym=STACK_BYTES=${MCUFORMER_STACK_BYTES}
    -L${MCUFORMER_SUPPORT}/board -T${board}/board.ld)
  set(depends ${board}/board.ld ${MCUFORMER_SUPPORT}/board/sections.ld)
  set_target_properties(${target} PROPERTIES SUFFIX .elf LINK_DEPENDS "${depends}")
  if(NOT MCUFORMER_EMULATED)
    # Internal flash for st-flash; external flash, where it is used, for its own loader.
    add_custom_command(TARGET ${target} POST_BUILD
      COMMAND ${CMAKE_OBJCOPY} -O binary --remove-section=.external
        $<TARGET_FILE:${target}> ${target}.bin
      COMMAND ${CMAKE_OBJCOPY} -O binary --only-section=.external
        $<TARGET_FILE:${target}> ${target}_external.bin
      VERBATIM)
  endif()
endfunction()
