// What an emulated core runs that is called from outside (qemu_core.py): it asks for a call over
// semihosting, makes it, and asks for the next. Registers and answers lie in a mailbox.
  .syntax unified
  .thumb

// Words of the mailbox (qemu_core.py has the same).
  .equ kState, 0      // what is told: 0 the server waits for a call, 1 rows wanted, 2 a fault
  .equ kEntry, 4
  .equ kStack, 8
  .equ kRegisters, 12  // r0 to r11
  .equ kFault, 60      // its address, cause (CFSR), and the address that it was about (MMFAR)
  .equ kRegions, 128   // RBAR, RLAR of the memories that there are; 0, 0 ends them

  .section .text
  .global call_server_reset
  .thumb_func
call_server_reset:
  ldr r0, =0xE000ED08  // VTOR
  ldr r1, =vectors
  str r1, [r0]
  ldr r0, =0xE000ED88  // CPACR: floating point and MVE
  ldr r1, [r0]
  orr r1, r1, #0xF << 20
  str r1, [r0]
  dsb
  isb
  ldr r0, =0xE000ED94  // MPU_CTRL, then RNR, RBAR, RLAR
  ldr r1, =mailbox + kRegions
  movs r2, #0
1:
  ldrd r3, r4, [r1], #8
  cbz r4, 2f
  str r2, [r0, #4]
  strd r3, r4, [r0, #8]
  adds r2, #1
  b 1b
2:
  ldr r1, =0xFF        // MAIR0: attribute 0 is ordinary memory
  str r1, [r0, #44]
  movs r1, #1
  str r1, [r0]
  dsb
  isb
next:
  movs r2, #0
  bl tell
  ldr r12, =mailbox
  ldrd lr, r2, [r12, #kEntry]
  mov sp, r2
  add r12, #kRegisters
  ldmia r12, {r0-r11}
  blx lr
  ldr r12, =mailbox
  mov lr, sp
  str lr, [r12, #kStack]
  add r12, #kRegisters
  stmia r12, {r0-r11}
  b next

// State r2; keeps r4 to r12.
tell:
  ldr r1, =mailbox
  str r2, [r1, #kState]
  movs r0, #0x12       // SYS_SYSTEM
  ldr r1, =command
  bkpt 0xAB
  bx lr

// ImageSource::read (kernels/stem.h): r12 tells which.
  .global call_server_rows
  .thumb_func
call_server_rows:
  push {r4, lr}
  ldr r0, =mailbox + kRegisters
  stmia r0, {r1-r3}
  str r12, [r0, #12]
  movs r2, #1
  bl tell
  movs r0, #1
  pop {r4, pc}

  .thumb_func
fault:
  mrs r0, msp
  ldr r1, [r0, #24]    // the program counter
  ldr r2, =0xE000ED28
  ldr r3, [r2]         // CFSR
  ldr r4, [r2, #12]    // MMFAR
  ldr r0, =mailbox + kFault
  stmia r0, {r1, r3, r4}
  movs r2, #2
  bl tell
  b .

  .pool
  .balign 4
command:
  .word name, 1
name:
  .asciz "x"
  .balign 512
vectors:
  .word 0, call_server_reset
  .rept 14
  .word fault
  .endr
  .section .note.GNU-stack, "", %progbits
