//go:build peers

package scrub

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// witness is a program of others that reads metadata, or what a document says.
type witness struct {
	name string
	// finds returns, of files in a directory, what it finds that may tell of a writer.
	finds func(t *testing.T, files []string) map[string]string
}

var witnesses = []witness{
	{"exiftool", exiftool},
	{"mat2", mat2},
	{"pdftotext", func(t *testing.T, files []string) map[string]string {
		return markedBy(files, "pdftotext", "-raw", "FILE", "-")
	}},
	{"qpdf", func(t *testing.T, files []string) map[string]string {
		return markedBy(files, "qpdf", "--qdf", "--object-streams=disable", "--no-warn", "--warning-exit-0", "FILE", "-")
	}},
}

// TestPeersWitnesses has programs of others look at all pictures and PDFs that leave of
// the corpus. Each of them finds something in what was written, and none in what leaves.
func TestPeersWitnesses(t *testing.T) {
	written, left := t.TempDir(), t.TempDir()
	names := map[string]place{}
	corpus(t, func(t *testing.T, p place, mail []byte, _ string) {
		r, err := submit(mail)
		if err != nil {
			return
		}
		for i, a := range r.Message.Attachments {
			save(t, left, fmt.Sprintf("%d-%d", len(names), i), a.Data)
		}
		for i, data := range leaves(mail) {
			save(t, written, fmt.Sprintf("%d-%d", len(names), i), data)
		}
		names[fmt.Sprint(len(names))] = p
	})
	for _, w := range witnesses {
		t.Run(w.name, func(t *testing.T) {
			if _, err := exec.LookPath(w.name); err != nil {
				t.Fatalf("install it: %v", err)
			}
			for file, found := range w.finds(t, list(t, left)) {
				number, attachment, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)), "-")
				t.Errorf("%v, attachment %s: %s", names[number], attachment, found)
			}
			seen := len(w.finds(t, list(t, written)))
			t.Logf("it finds something in %d of %d files that were written, and looked at %d that leave", seen, len(list(t, written)), len(list(t, left)))
			if seen == 0 {
				t.Error("it finds nothing in the files that were written")
			}
		})
	}
	// What is no PDF to others leaves as one of ours.
	for _, file := range list(t, left) {
		if filepath.Ext(file) != ".pdf" {
			continue
		}
		if out, err := exec.Command("qpdf", "--check", file).CombinedOutput(); err != nil {
			t.Errorf("qpdf: %v\n%s", err, out)
		}
	}
}

// save writes what is a picture or a PDF, with the name that programs expect of it.
func save(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	for extension, begin := range map[string]string{".jpg": "\xff\xd8\xff", ".png": "\x89PNG\r\n\x1a\n", ".gif": "GIF8", ".webp": "RIFF", ".pdf": "%PDF-"} {
		if bytes.HasPrefix(data, []byte(begin)) {
			if err := os.WriteFile(filepath.Join(dir, name+extension), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// exiftool finds what is not on the list of what our files say of themselves.
func exiftool(t *testing.T, files []string) map[string]string {
	t.Helper()
	out, err := exec.Command("exiftool", append([]string{"-json", "-a", "-u", "-U", "-ee", "-G1"}, files...)...).Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok && failed.ExitCode() != 1 || len(out) == 0 { // 1: it could not read one
		t.Fatalf("%v\n%s", err, out)
	}
	var list []map[string]any
	if err := json.Unmarshal(out, &list); err != nil {
		t.Fatal(err)
	}
	// Of a palette, exiftool says only how long it is.
	harmless := strings.Fields(`SourceFile File:FileType File:FileTypeExtension File:MIMEType File:ImageWidth File:ImageHeight
		File:EncodingProcess File:BitsPerSample File:ColorComponents File:YCbCrSubSampling
		PNG:ImageWidth PNG:ImageHeight PNG:BitDepth PNG:ColorType PNG:Compression PNG:Filter PNG:Interlace PNG:Palette
		PDF:PDFVersion PDF:Linearized PDF:PageCount Composite:ImageSize Composite:Megapixels`)
	always := []string{"JFIF:JFIFVersion = 1.01", "JFIF:ResolutionUnit = None", "JFIF:XResolution = 1", "JFIF:YResolution = 1"}
	found := map[string]string{}
	for _, of := range list {
		for tag, value := range of {
			group, _, _ := strings.Cut(tag, ":")
			says := fmt.Sprintf("%s = %v", tag, value)
			if group != "System" && group != "ExifTool" && !slices.Contains(harmless, tag) && !slices.Contains(always, says) {
				found[fmt.Sprint(of["SourceFile"])] += says + "; "
			}
		}
	}
	return found
}

// mat2 finds what it would remove. Of every PDF it says its version, and that it has no
// dates.
func mat2(t *testing.T, files []string) map[string]string {
	t.Helper()
	out, _ := exec.Command("mat2", append([]string{"--show"}, files...)...).CombinedOutput() // it fails if it cannot read one
	harmless := []string{"format: PDF-1.7", "creation-date: -1", "mod-date: -1", "Palette: (Binary data 27 bytes, use -b option to extract)"}
	found, file, looked := map[string]string{}, "", 0
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if about, ok := strings.CutPrefix(line, "[+] Metadata for "); ok {
			file = strings.TrimSuffix(about, ":")
			looked++
		} else if strings.Contains(line, "No metadata found in ") {
			file = ""
			looked++
		} else if file != "" && line != "" && !strings.HasPrefix(line, "[") && !slices.Contains(harmless, line) {
			found[file] += line + "; "
		}
	}
	if looked < len(files)/2 {
		t.Fatalf("mat2 looked at %d of %d files:\n%s", looked, len(files), out)
	}
	return found
}

// markedBy finds the marks in what a program makes of PDFs.
func markedBy(files []string, program string, args ...string) map[string]string {
	found := map[string]string{}
	for _, file := range files {
		if filepath.Ext(file) != ".pdf" {
			continue
		}
		of := slices.Clone(args)
		of[slices.Index(of, "FILE")] = file
		out, err := exec.Command(program, of...).Output()
		if mark := marked(out); mark != "" {
			found[file] = "the mark " + mark
		} else if err != nil && len(out) == 0 {
			found[file] = err.Error()
		}
	}
	return found
}
