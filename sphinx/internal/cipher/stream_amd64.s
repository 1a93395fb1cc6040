//go:build amd64 && !purego

#include "textflag.h"

// func subWord(w uint32) uint32
TEXT ·subWord(SB), NOSPLIT, $0-12
	MOVL w+0(FP), AX
	VMOVD AX, X0
	VPSHUFD $0, X0, X0 // with equal columns, AES's shift of rows changes nothing
	VPXOR X1, X1, X1
	VAESENCLAST X1, X0, X0
	VMOVD X0, AX
	MOVL AX, ret+8(FP)
	RET

// EIGHT applies an instruction with one source to the eight blocks in X0 to X7.
#define EIGHT(op, source) \
	VMOVDQU source, X8 \
	op X8, X0, X0 \
	op X8, X1, X1 \
	op X8, X2, X2 \
	op X8, X3, X3 \
	op X8, X4, X4 \
	op X8, X5, X5 \
	op X8, X6, X6 \
	op X8, X7, X7

// func encryptLanes(dst *[lanes * 16]byte, blocks *[lanes]block, keys *streamKeys)
TEXT ·encryptLanes(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), AX
	MOVQ blocks+8(FP), BX
	MOVQ keys+16(FP), CX
	VMOVDQU 0x00(BX), X0
	VMOVDQU 0x10(BX), X1
	VMOVDQU 0x20(BX), X2
	VMOVDQU 0x30(BX), X3
	VMOVDQU 0x40(BX), X4
	VMOVDQU 0x50(BX), X5
	VMOVDQU 0x60(BX), X6
	VMOVDQU 0x70(BX), X7
	EIGHT(VPXOR, 0x00(CX))
	EIGHT(VAESENC, 0x10(CX))
	EIGHT(VAESENC, 0x20(CX))
	EIGHT(VAESENC, 0x30(CX))
	EIGHT(VAESENC, 0x40(CX))
	EIGHT(VAESENC, 0x50(CX))
	EIGHT(VAESENC, 0x60(CX))
	EIGHT(VAESENC, 0x70(CX))
	EIGHT(VAESENC, 0x80(CX))
	EIGHT(VAESENC, 0x90(CX))
	EIGHT(VAESENC, 0xa0(CX))
	EIGHT(VAESENC, 0xb0(CX))
	EIGHT(VAESENC, 0xc0(CX))
	EIGHT(VAESENC, 0xd0(CX))
	EIGHT(VAESENCLAST, 0xe0(CX))
	VMOVDQU X0, 0x00(AX)
	VMOVDQU X1, 0x10(AX)
	VMOVDQU X2, 0x20(AX)
	VMOVDQU X3, 0x30(AX)
	VMOVDQU X4, 0x40(AX)
	VMOVDQU X5, 0x50(AX)
	VMOVDQU X6, 0x60(AX)
	VMOVDQU X7, 0x70(AX)
	RET
