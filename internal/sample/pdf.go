package sample

import (
	"bytes"
	"fmt"
)

// PDF is a document that begins with head, of the objects from number 1 on, the first
// being the catalog, with a cross-reference table (ISO 32000-1 clause 7.5). The entries of
// trailer are added to its trailer.
func PDF(head, trailer string, objects ...string) []byte {
	var b bytes.Buffer
	b.WriteString(head)
	var offsets []int
	for i, o := range objects {
		offsets = append(offsets, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	at := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, o := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, trailer, at)
	return b.Bytes()
}
