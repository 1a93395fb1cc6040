// Package exit is the post office at the network's end: it puts parcels
// together from the fragments that packets bring, answers every request with
// what it knows of a parcel, and hands each complete parcel to an SMTP server,
// one recipient at a time.
//
// [InitKeys] makes the key that the exit is known by, [Open] its state. A node
// then calls [Office.Handle] for every packet's payload, and runs
// [Office.Run] beside it:
//
//	fragments ─Handle─▶ store ─(last one)─▶ opened in memory, scheduled
//	                      ▲                        │ hold: exponential
//	            result ───┴── Run: SMTP transaction ◀┘ retried until expiry
//
// What always holds:
//   - What an answer says of a parcel is on disk, synced, before the answer.
//   - A recipient's copy is handed over at most once. Only if the exit or its
//     connection dies between the end of the message and the recorded answer
//     does a second copy follow, the same byte for byte.
//   - Nothing is handed over after a parcel's expiry epoch.
//   - Parcels stay sealed on disk. Addresses, texts and servers' answers are
//     there only sealed to a day key, and the day key's file is overwritten
//     once no parcel sealed to it is remembered.
//   - Logs and counters hold counts, never an address, a parcel id or a word of
//     a server.
//
// It refuses what it cannot open or keep in bounds, and knows nothing of mix
// nodes, packets or links. It may import mail, internal/config, bbolt, go-smtp
// and go-sasl.
package exit
