package picture

import "encoding/binary"

// exifOrientation reads the tag Orientation (0x0112, Exif 2.32 section 4.6.4) out of the first
// directory of a TIFF structure (TIFF 6.0 section 2), and nothing else. What is not
// well-formed is upright.
func exifOrientation(tiff []byte) orientation {
	if len(tiff) < 8 {
		return 0
	}
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 0
	}
	at := uint64(order.Uint32(tiff[4:]))
	if at+2 > uint64(len(tiff)) {
		return 0
	}
	entries := tiff[at+2:]
	for range order.Uint16(tiff[at:]) {
		if len(entries) < 12 {
			return 0
		}
		const tag, short = 0x0112, 3
		if order.Uint16(entries) == tag {
			value := order.Uint16(entries[8:])
			if order.Uint16(entries[2:]) == short && order.Uint32(entries[4:]) == 1 && int(value) < len(exifOrientations) {
				return exifOrientations[value]
			}
			return 0
		}
		entries = entries[12:]
	}
	return 0
}
