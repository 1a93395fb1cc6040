//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// Registers: X0 to X7 are the states of eight pairs, X9 to X12 the keys of the
// rounds: J, I, L and zero. X8, X13 and X14 are as each function says.

// EIGHT applies an instruction with one source to all states.
#define EIGHT(op, source) \
	op source, X0, X0 \
	op source, X1, X1 \
	op source, X2, X2 \
	op source, X3, X3 \
	op source, X4, X4 \
	op source, X5, X5 \
	op source, X6, X6 \
	op source, X7, X7

// EACH applies an instruction to each state with its own source, step bytes
// apart.
#define EACH(op, base, offset, step) \
	op (offset+0*step)(base), X0, X0 \
	op (offset+1*step)(base), X1, X1 \
	op (offset+2*step)(base), X2, X2 \
	op (offset+3*step)(base), X3, X3 \
	op (offset+4*step)(base), X4, X4 \
	op (offset+5*step)(base), X5, X5 \
	op (offset+6*step)(base), X6, X6 \
	op (offset+7*step)(base), X7, X7

// STORE writes each state to its pair, offset bytes into it.
#define STORE(base, offset) \
	VMOVDQU X0, (offset+0*32)(base) \
	VMOVDQU X1, (offset+1*32)(base) \
	VMOVDQU X2, (offset+2*32)(base) \
	VMOVDQU X3, (offset+3*32)(base) \
	VMOVDQU X4, (offset+4*32)(base) \
	VMOVDQU X5, (offset+5*32)(base) \
	VMOVDQU X6, (offset+6*32)(base) \
	VMOVDQU X7, (offset+7*32)(base)

// SUM adds all states to a register.
#define SUM(dst) \
	VPXOR X0, dst, dst \
	VPXOR X1, dst, dst \
	VPXOR X2, dst, dst \
	VPXOR X3, dst, dst \
	VPXOR X4, dst, dst \
	VPXOR X5, dst, dst \
	VPXOR X6, dst, dst \
	VPXOR X7, dst, dst

#define AES4 \
	EIGHT(VAESENC, X9) \
	EIGHT(VAESENC, X10) \
	EIGHT(VAESENC, X11) \
	EIGHT(VAESENC, X12)

// KEYS loads the keys of the rounds.
#define KEYS(base) \
	VMOVDQU (tweaks_round+0)(base), X10 \
	VMOVDQU (tweaks_round+16)(base), X9 \
	VMOVDQU (tweaks_round+32)(base), X11 \
	VPXOR X12, X12, X12

// func aes4(b *block, round *[3]block)
TEXT ·aes4(SB), NOSPLIT, $0-16
	MOVQ b+0(FP), AX
	MOVQ round+8(FP), BX
	VMOVDQU (AX), X0
	VAESENC 16(BX), X0, X0
	VAESENC (BX), X0, X0
	VAESENC 32(BX), X0, X0
	VPXOR X12, X12, X12
	VAESENC X12, X0, X0
	VMOVDQU X0, (AX)
	RET

// func aes10(b *block, round *[3]block)
TEXT ·aes10(SB), NOSPLIT, $0-16
	MOVQ b+0(FP), AX
	MOVQ round+8(FP), BX
	VMOVDQU (AX), X0
	VMOVDQU (BX), X10
	VMOVDQU 16(BX), X9
	VMOVDQU 32(BX), X11
	VAESENC X10, X0, X0
	VAESENC X9, X0, X0
	VAESENC X11, X0, X0
	VAESENC X10, X0, X0
	VAESENC X9, X0, X0
	VAESENC X11, X0, X0
	VAESENC X10, X0, X0
	VAESENC X9, X0, X0
	VAESENC X11, X0, X0
	VAESENC X10, X0, X0
	VMOVDQU X0, (AX)
	RET

// A pair is (m, n). firstGroup makes w = m ⊕ E(1,k)(n), z = n ⊕ E(0,0)(w) of
// it, and adds z to X.
//
// func firstGroup(pairs *[group]byte, c *tweaks, i, x *block)
TEXT ·firstGroup(SB), NOSPLIT, $0-32
	MOVQ pairs+0(FP), AX
	MOVQ c+8(FP), BX
	MOVQ i+16(FP), CX
	MOVQ x+24(FP), DX
	KEYS(BX)
	VMOVDQU (CX), X8

	VMOVDQU (16+0*32)(AX), X0
	VMOVDQU (16+1*32)(AX), X1
	VMOVDQU (16+2*32)(AX), X2
	VMOVDQU (16+3*32)(AX), X3
	VMOVDQU (16+4*32)(AX), X4
	VMOVDQU (16+5*32)(AX), X5
	VMOVDQU (16+6*32)(AX), X6
	VMOVDQU (16+7*32)(AX), X7
	EACH(VPXOR, BX, tweaks_first, 16)
	EIGHT(VPXOR, X8)
	AES4
	EACH(VPXOR, AX, 0, 32)
	STORE(AX, 0)

	EIGHT(VPXOR, X10) // the offset of E(0,0) is I
	AES4
	EACH(VPXOR, AX, 16, 32)
	STORE(AX, 16)

	VMOVDQU (DX), X13
	SUM(X13)
	VMOVDQU X13, (DX)
	RET

// A pair is (w, z). secondGroup adds E(2,k)(S) to both and w to Y, makes
// a = w ⊕ E(0,0)(z), b = z ⊕ E(1,k)(a) of it, and leaves (b, a).
//
// func secondGroup(pairs *[group]byte, c *tweaks, i, s, y *block)
TEXT ·secondGroup(SB), NOSPLIT, $0-40
	MOVQ pairs+0(FP), AX
	MOVQ c+8(FP), BX
	MOVQ i+16(FP), CX
	MOVQ s+24(FP), DX
	MOVQ y+32(FP), DI
	KEYS(BX)
	VMOVDQU (CX), X8

	VPXOR (DX), X8, X13
	VPXOR (tweaks_second+0*16)(BX), X13, X0
	VPXOR (tweaks_second+1*16)(BX), X13, X1
	VPXOR (tweaks_second+2*16)(BX), X13, X2
	VPXOR (tweaks_second+3*16)(BX), X13, X3
	VPXOR (tweaks_second+4*16)(BX), X13, X4
	VPXOR (tweaks_second+5*16)(BX), X13, X5
	VPXOR (tweaks_second+6*16)(BX), X13, X6
	VPXOR (tweaks_second+7*16)(BX), X13, X7
	AES4

	VMOVDQU (DI), X13

// BOTH adds a state to both blocks of its pair and w to Y, and leaves z in the
// state.
#define BOTH(state, offset) \
	VPXOR (offset)(AX), state, X14 \
	VMOVDQU X14, (offset)(AX) \
	VPXOR X14, X13, X13 \
	VPXOR (offset+16)(AX), state, state \
	VMOVDQU state, (offset+16)(AX)

	BOTH(X0, 0*32)
	BOTH(X1, 1*32)
	BOTH(X2, 2*32)
	BOTH(X3, 3*32)
	BOTH(X4, 4*32)
	BOTH(X5, 5*32)
	BOTH(X6, 6*32)
	BOTH(X7, 7*32)
	VMOVDQU X13, (DI)

	EIGHT(VPXOR, X10) // the offset of E(0,0) is I
	AES4
	EACH(VPXOR, AX, 0, 32)
	STORE(AX, 0)

	EACH(VPXOR, BX, tweaks_first, 16)
	EIGHT(VPXOR, X8)
	AES4

// SWAP ends a pair: b = z ⊕ state goes first, a second.
#define SWAP(state, offset) \
	VPXOR (offset+16)(AX), state, state \
	VMOVDQU (offset)(AX), X14 \
	VMOVDQU state, (offset)(AX) \
	VMOVDQU X14, (offset+16)(AX)

	SWAP(X0, 0*32)
	SWAP(X1, 1*32)
	SWAP(X2, 2*32)
	SWAP(X3, 3*32)
	SWAP(X4, 4*32)
	SWAP(X5, 5*32)
	SWAP(X6, 6*32)
	SWAP(X7, 7*32)
	RET
