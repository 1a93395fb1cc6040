package sphinx

// Step is the step of docs/sphinx.md, Unwrapping, at which an error refuses a
// packet, 0 if it is none of Unwrap's.
func Step(err error) int {
	return map[error]int{errLength: 1, errVersion: 2, errElement: 4, errMAC: 6, errCommands: 8, errPayload: 11}[err]
}
