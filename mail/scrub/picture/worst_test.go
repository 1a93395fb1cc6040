//go:build long && linux

package picture

import (
	"bytes"
	"compress/lzw"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"codeberg.org/sourdine/sourdine/internal/sample"
)

// flatJPEG is a gray-green JPEG of any size in few bytes: one code of one bit for DC, one for the end of
// a block. Components have the given sampling factors.
func flatJPEG(w, h int, frame byte, scans int, factors ...byte) []byte {
	var dqt [65]byte
	for i := range dqt[1:] {
		dqt[1+i] = 1
	}
	code := string(append([]byte{1}, make([]byte, 16)...)) // one code, of one bit, for 0
	size := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{8}, uint16(h)), uint16(w))
	size = append(size, byte(len(factors)))
	selectors := []byte{byte(len(factors))}
	blocks := 0
	for i, f := range factors {
		size = append(size, byte(i+1), f, 0)
		selectors = append(selectors, byte(i+1), 0)
		blocks += int(f>>4) * int(f&15)
	}
	units := (w/8/int(factors[0]>>4) + 1) * (h/8/int(factors[0]&15) + 1)
	out := slices.Concat([]byte{0xff, 0xd8})
	if len(factors) == 4 {
		out = append(out, segment(0xee, "Adobe\x00\x64\x00\x00\x00\x00\x02")...)
	}
	out = slices.Concat(out, segment(0xdb, string(dqt[:])), segment(frame, string(size)), segment(0xc4, "\x00"+code+"\x10"+code))
	if frame != markerSOF2 {
		out = slices.Concat(out, segment(0xda, string(selectors)+"\x00\x3f\x00"), make([]byte, units*blocks*2/8+1))
	} else {
		out = slices.Concat(out, segment(0xda, string(selectors)+"\x00\x00\x00"), make([]byte, units*blocks/8+1))
		for range scans - 1 {
			out = slices.Concat(out, segment(0xda, "\x01\x01\x00\x01\x3f\x00"), make([]byte, units*int(factors[0]>>4)*int(factors[0]&15)/8+1))
		}
	}
	return append(out, 0xff, 0xd9)
}

func flatPNG(w, h int, depth, colors, interlace byte, bits int) []byte {
	var z bytes.Buffer
	zw, _ := zlib.NewWriterLevel(&z, zlib.BestSpeed)
	zeros := make([]byte, 1<<16)
	row := func(w int) int { return 1 + (w*bits+7)/8 } // with its filter
	n := h * row(w)
	if interlace == 1 { // Adam7, of sides that are multiples of 8
		n = h/8*(2*row(w/8)+row(w/4)) + h/4*(row(w/4)+row(w/2)) + h/2*(row(w/2)+row(w))
	}
	for ; n > 0; n -= len(zeros) {
		zw.Write(zeros[:min(n, len(zeros))])
	}
	zw.Close()
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(w)), uint32(h))
	out := slices.Concat([]byte(pngMagic), chunk("IHDR", string(append(header, depth, colors, 0, 0, interlace))))
	if colors == 3 {
		out = append(out, chunk("PLTE", "abc")...)
	}
	return slices.Concat(out, chunk("IDAT", z.String()), chunk("IEND", ""))
}

func flatGIF(w, h int) []byte {
	var z bytes.Buffer
	zw := lzw.NewWriter(&z, lzw.LSB, 2)
	zw.Write(make([]byte, w*h))
	zw.Close()
	le := binary.LittleEndian.AppendUint16
	out := append(le(le([]byte("GIF89a"), uint16(w)), uint16(h)), 0x80, 0, 0, 0, 0, 0, 255, 255, 255, 0x2c, 0, 0, 0, 0)
	out = append(le(le(out, uint16(w)), uint16(h)), 0x40, 2)
	for part := range slices.Chunk(z.Bytes(), 255) {
		out = append(append(out, byte(len(part))), part...)
	}
	return append(out, 0, 0x3b)
}

// flatWebP is a lossless WebP of one colour: five codes of one symbol, no bit for a pixel.
func flatWebP(w, h int) []byte {
	bits, n := uint64(w-1)|uint64(h-1)<<14, 32 // size, alpha, version
	n += 1 + 1 + 1                             // no transform, no cache, no groups of codes
	for range 5 {
		bits |= 1 << n // a simple code of one symbol of one bit, 0
		n += 4
	}
	b := append(binary.LittleEndian.AppendUint64([]byte{0x2f}, bits), 0, 0, 0, 0, 0)
	body := append([]byte("WEBP"), riffChunk("VP8L", string(b))...)
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

// denseJPEG is a photograph-like JPEG of 25 MB.
func denseJPEG(t testing.TB) []byte {
	return asJPEG(t, sample.Tiled(sample.Photo(1750, 1300, 1, 30), 4), 94)
}

// worst are pictures at the bounds, to be found within them.
var worst = map[string]func(testing.TB) []byte{
	"JPEG 4:4:4 of 119 megapixels":             func(testing.TB) []byte { return flatJPEG(12000, 9980, markerSOF0, 1, 0x11, 0x11, 0x11) },
	"JPEG progressive 4:2:0 of 50 megapixels":  func(testing.TB) []byte { return flatJPEG(8160, 6144, markerSOF2, maxScans, 0x22, 0x11, 0x11) },
	"JPEG progressive gray of 80 megapixels":   func(testing.TB) []byte { return flatJPEG(10000, 8000, markerSOF2, maxScans, 0x11) },
	"JPEG of inks, 50 megapixels":              func(testing.TB) []byte { return flatJPEG(8160, 6144, markerSOF0, 1, 0x11, 0x11, 0x11, 0x11) },
	"JPEG 4:2:0 of 40 megapixels, 25 MB":       denseJPEG,
	"PNG 16-bit RGBA of 50 megapixels":         func(testing.TB) []byte { return flatPNG(8192, 6144, 16, 6, 0, 64) },
	"PNG 16-bit RGB interlaced, 26 megapixels": func(testing.TB) []byte { return flatPNG(6144, 4200, 16, 2, 1, 48) },
	"PNG palette of 119 megapixels":            func(testing.TB) []byte { return flatPNG(12000, 9980, 8, 3, 0, 8) },
	"PNG 8-bit RGB of 100 megapixels":          func(testing.TB) []byte { return flatPNG(10400, 10000, 8, 2, 0, 24) },
	"GIF interlaced of 119 megapixels":         func(testing.TB) []byte { return flatGIF(12000, 9980) },
	"WebP lossless of 29 megapixels":           func(testing.TB) []byte { return flatWebP(5600, 5200) },
}

// TestWorst cleans each picture twice in a process of its own, and looks how large that becomes.
func TestWorst(t *testing.T) {
	if name := os.Getenv("PICTURE_WORST"); name != "" {
		data, err := io.ReadAll(os.Stdin)
		if err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		for range 2 {
			p, err := Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := p.Encode(0); err != nil {
				t.Fatal(err)
			}
		}
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		_, peak, _ := strings.Cut(string(status), "VmHWM:")
		fmt.Printf("PEAK %s\n", strings.Fields(peak)[0])
		return
	}
	for name, picture := range worst {
		t.Run(name, func(t *testing.T) {
			data := picture(t)
			if len(data) > 26<<20 {
				t.Errorf("%d bytes are more than can be submitted", len(data))
			}
			cmd := exec.Command(os.Args[0], "-test.run=^TestWorst$")
			cmd.Env = append(os.Environ(), "PICTURE_WORST="+name)
			cmd.Stdin = bytes.NewReader(data)
			out, err := cmd.CombinedOutput()
			_, peak, found := strings.Cut(string(out), "PEAK ")
			if err != nil || !found {
				t.Fatalf("%v\n%s", err, out)
			}
			kilobytes, err := strconv.Atoi(strings.Fields(peak)[0])
			if err != nil {
				t.Fatal(err)
			}
			milliseconds := (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Milliseconds() / 2
			t.Logf("%d bytes: %d MiB, %d ms of a core", len(data), kilobytes>>10, milliseconds)
			if kilobytes > 512<<10 {
				t.Errorf("takes %d MiB", kilobytes>>10)
			}
			if milliseconds > 15_000 {
				t.Errorf("takes %d ms", milliseconds)
			}
		})
	}
}
