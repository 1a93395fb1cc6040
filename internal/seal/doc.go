// Package seal keeps a member's secret files sealed at rest, so that whoever takes the disk does not
// become the member.
//
// One secret from outside the directory opens all files in it. A member says in its configuration
// where that secret comes from:
//
//	keys = "systemd"     a credential of the unit, which systemd keeps sealed to the machine's TPM or
//	                     to a key of the machine's: the node comes back alone after a power cut
//	keys = "passphrase"  from a file, a file descriptor or the terminal
//	keys = "plain"       nothing is sealed, and whoever reads the disk is the member
//
// [Create] sets a directory up, [Open] opens it again:
//
//	s, err := seal.Open(seal.Systemd, dir, nil)
//	err = s.WriteFile(path, "link key", secret)
//	secret, err := s.ReadFile(path, "link key")
//	s.Wipe()
//
// The outside secret becomes the root of the directory, 32 bytes: a passphrase by Argon2id (RFC 9106)
// at the cost of [keyring.DefaultCost], a credential by HKDF-SHA256 (RFC 5869). Salt, cost and a value
// that tells a wrong secret from a right one lie open in seal.toml, without which nothing opens. Each
// file has a key of its own, from the root and the file's name by HKDF-SHA256, and is
// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) under a random nonce:
//
//	offset  size
//	0       15    "sourdine-sealed"
//	15      1     version, 1
//	16      24    nonce
//	40            the secret, encrypted
//	end-16  16    tag, also over the first 16 bytes and the file's name
//
// The files of a part of the member, as an exit's post office is, are named "part/name" and have a root
// of the part's own, derived from the directory's by HKDF-SHA256; [Sealer.Part] and [OpenPart] let a
// process hold that one alone.
//
// So a file that is swapped with another, cut or changed does not open. What sealing cannot do: notice
// that a file and seal.toml were put back to an older state, or hide how many files there are and how
// long. A plain file is the secret as it is.
//
// [Sealer.Reseal] goes from one way to another and loses no key if it is interrupted.
//
// The package knows nothing of nodes and networks, never logs, and imports toml, x/crypto, x/sys, x/text and the project's config and keyring.
package seal
