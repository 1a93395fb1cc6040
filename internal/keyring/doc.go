// Package keyring keeps the key pair that the user's store is sealed to.
//
// The public key lies open in a small JSON file, so the gateway can seal reports and states for its user
// without any secret. The private key lies in the same file in slots; each slot holds it sealed under one
// password and has a name. Unlocking takes a password and yields a Key that opens what was sealed:
//
//	ring, err := keyring.Create(path, "me", password) // once; afterwards keyring.Open(path)
//	sealed, err := ring.Seal("report", text)          // no secret needed
//	key, err := ring.Unlock(password)                 // keyring.ErrPassword if no slot opens
//	key, err := ring.UnlockAs("me", password)         // this slot alone
//	defer key.Wipe()
//	text, err := key.Open("report", sealed)
//
// The key pair is X-Wing (ML-KEM-768 with X25519), used through HPKE (RFC 9180, draft-ietf-hpke-pq) with
// HKDF-SHA256 and ChaCha20-Poly1305. A slot's key is Argon2id of the password (RFC 9106).
//
// What it cannot do: someone who can write the file can put a public key of their own there, and what is sealed
// from then on is theirs. Unlock notices and says so; nothing can notice earlier without a secret.
//
// It knows nothing of mail, of logins or of networks, and never logs. It imports the standard library, x/crypto, x/text
// and internal/config only.
package keyring
