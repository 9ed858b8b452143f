# Debian: apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi libstdc++-arm-none-eabi-newlib
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR arm)
find_program(MCUFORMER_COMPILER arm-none-eabi-g++)
if(NOT MCUFORMER_COMPILER)
  message(FATAL_ERROR "arm-none-eabi-g++ is not installed. Debian: apt-get install "
    "gcc-arm-none-eabi libnewlib-arm-none-eabi libstdc++-arm-none-eabi-newlib")
endif()
set(CMAKE_CXX_COMPILER ${MCUFORMER_COMPILER})
set(CMAKE_ASM_COMPILER ${MCUFORMER_COMPILER})
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
