package pdf

import (
	"image/png"
	"slices"
	"strconv"

	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mail/scrub/picture"
)

// Document is a PDF that was read and rebuilt, but for the size of its pictures. It keeps
// nothing of the old one.
type Document struct {
	body    *body
	removed []string
	// What pictures lost is known when they are decoded.
	ofPictures map[string]bool
	pictures   *picture.Budget
	partial    bool // pictures were not looked at, or not encoded to their end, since the mail does not fit
	png        png.Encoder
}

// Open reads a PDF and rebuilds it, out of what its mail may take. The error is a *[mail.Refusal]
// for whatever is no PDF, is protected by a password, or has something that cannot be cleaned.
func Open(data []byte, left *Budget) (d *Document, err error) {
	defer func() {
		// A fault of a decoder for hostile bytes must not end the program.
		if r := recover(); r != nil {
			d, err = nil, &mail.Refusal{Reason: damaged}
		}
	}()
	return open(data, left)
}

func open(data []byte, left *Budget) (d *Document, err error) {
	defer caught(&err)
	f := openFile(data, left)
	b := &builder{f: f, left: left, memo: map[memoKey]any{}, building: map[memoKey]bool{}}
	b.document()
	d = &Document{body: b.body(), removed: b.notices(), ofPictures: map[string]bool{}, pictures: left.mail, png: png.Encoder{BufferPool: new(buffers)}}
	// Pictures can need much memory. What they need of the old document is parsed again.
	*b = builder{}
	f.reset()
	d.load()
	return d, nil
}

// load takes the pictures out of the old document.
func (d *Document) load() {
	for _, s := range d.body.streams {
		if o, ok := s.object.(*outStream); ok {
			d.pictures.Fill(len(o.data))
		}
	}
	for _, s := range d.body.packed {
		d.pictures.Fill(len(s.data))
	}
	for _, s := range d.body.streams {
		if p, ok := s.object.(*slot); ok {
			if !d.pictures.Fits() {
				d.partial = true
				break
			}
			p.load(d)
		}
	}
	for _, s := range d.body.streams {
		if p, ok := s.object.(*slot); ok {
			p.forget()
		}
	}
}

// buffers is the one buffer of a document's PNG encoder.
type buffers struct{ b *png.EncoderBuffer }

func (p *buffers) Get() *png.EncoderBuffer  { return p.b }
func (p *buffers) Put(b *png.EncoderBuffer) { p.b = b }

// caught turns a refusal on its way up into an error.
func caught(err *error) {
	switch r := recover().(type) {
	case nil:
	case refusal:
		*err = r.Refusal
	default:
		panic(r)
	}
}

// Removed names what the document lost: phrases out of closed lists, each once,
// in a fixed order: those of this package, and after Encode those of the package picture by the alphabet.
func (d *Document) Removed() []string {
	return append(slices.Clone(d.removed), sorted(d.ofPictures)...)
}

// Partial reports whether not all of the document was looked at, because what was is too large for
// its mail at every step. Then it may have more bytes than Encode says.
func (d *Document) Partial() bool { return d.partial }

// Encode writes the document with its pictures at a step from 0 to
// [picture.Steps]-1, and says how many bytes it has. Of one that is too large for its mail
// there is no data, and the size is a guess but at the last step; at a step before
// [picture.Budget.First] there is no size.
// A document is not for use by several goroutines at once.
func (d *Document) Encode(step int) (data []byte, size int, err error) {
	defer func() {
		if r := recover(); r != nil {
			data, size, err = nil, 0, &mail.Refusal{Reason: damaged}
		}
	}()
	return d.encode(step)
}

func (d *Document) encode(step int) (data []byte, size int, err error) {
	defer caught(&err)
	if !d.pictures.Spend(costWritten * (len(d.body.places) + len(d.body.packed))) {
		refuse(tooMuch)
	}
	return d.body.write(step, d.pictures.Room())
}

// notice is one of the things that a document can lose.
type notice int

const (
	noticeInfo notice = iota
	noticeOutlines
	noticeLinks
	noticeComments
	noticeForms
	noticeSignature
	noticePassword
	noticeFiles
	noticeScripts
	noticeLayers
	noticeStructure
	noticeProfiles
	noticePrivate
	noticeFonts
	noticeCount
)

// Phrases of [Document.Removed] for what is removed for other reasons than that it tells who made a
// document, with what, when or where.
const (
	Outlines  = "the bookmarks and page labels of a PDF"
	Links     = "the links of a PDF"
	Forms     = "the fields of a form in a PDF, whose contents stay as text"
	Files     = "the files, sounds and films inside a PDF"
	Scripts   = "the programs inside a PDF"
	Layers    = "the hidden layers of a PDF"
	Structure = "the description of a PDF for screen readers"
)

var phrases = [noticeCount]string{
	noticeInfo:      "the title, author, program and dates of a PDF",
	noticeOutlines:  Outlines,
	noticeLinks:     Links,
	noticeComments:  "the comments in a PDF and who wrote them",
	noticeForms:     Forms,
	noticeSignature: "the digital signature of a PDF",
	noticePassword:  "the password that forbids changes to a PDF",
	noticeFiles:     Files,
	noticeScripts:   Scripts,
	noticeLayers:    Layers,
	noticeStructure: Structure,
	noticeProfiles:  "the colour profiles of a PDF",
	noticePrivate:   "what programs noted for themselves in a PDF",
	noticeFonts:     "the names of the fonts in a PDF",
}

// builder writes the new document while it walks through the old one.
type builder struct {
	f        *file
	left     *Budget
	objects  []any
	memo     map[memoKey]any
	building map[memoKey]bool
	removed  [noticeCount]bool
	layers   map[int]bool // layers that are off; nil if not looked at yet
	nesting  int
	fonts    int
}

type memoKey struct {
	kind string
	r    ref
}

// add appends an object and returns its reference.
func (b *builder) add(o any) ref {
	take(&b.left.written, 1)
	b.objects = append(b.objects, o)
	return ref(len(b.objects))
}

func (b *builder) deflated(d dict, data []byte) *outStream { return b.left.deflated(d, data) }

// once builds what o refers to one time. What contains itself is left out where
// it does.
func (b *builder) once(kind string, o any, build func() any) any {
	r, ok := o.(ref)
	if !ok {
		return build()
	}
	key := memoKey{kind, r}
	if made, ok := b.memo[key]; ok {
		return made
	}
	if b.building[key] {
		return nil
	}
	b.building[key] = true
	made := build()
	delete(b.building, key)
	b.memo[key] = made
	return made
}

func (b *builder) remove(n notice) { b.removed[n] = true }

func (b *builder) notices() []string {
	var list []string
	for n, removed := range b.removed {
		if removed {
			list = append(list, phrases[n])
		}
	}
	return list
}

func numbered(prefix name, n int) name { return prefix + name(strconv.Itoa(n)) }

// document builds the catalog, the pages and what they need.
func (b *builder) document() {
	catalog := b.f.dict(b.f.trailer["Root"])
	b.note(catalog)
	form := b.f.dict(catalog["AcroForm"])
	if b.f.bool(catalog["NeedsRendering"]) {
		refuse(dynamicForm)
	}
	b.add(nil) // the catalog
	tree := b.add(nil)
	w := pageWalk{b: b, form: form, tree: tree, seen: map[ref]bool{}}
	w.node(catalog["Pages"], dict{}, 0)
	if len(w.kids) == 0 {
		refuse(noPages)
	}
	b.objects[0] = dict{"Type": name("Catalog"), "Pages": tree}
	b.objects[1] = dict{"Type": name("Pages"), "Count": len(w.kids), "Kids": w.kids}
}

// note says what the catalog and the trailer have that is left out.
func (b *builder) note(catalog dict) {
	names := b.f.dict(catalog["Names"])
	for n, list := range map[notice][]any{
		noticeInfo:      {b.f.trailer["Info"], catalog["Metadata"]},
		noticeOutlines:  {catalog["Outlines"], catalog["PageLabels"]},
		noticeFiles:     {names["EmbeddedFiles"], catalog["AF"], catalog["Collection"]},
		noticeScripts:   {names["JavaScript"], catalog["OpenAction"], catalog["AA"]},
		noticeStructure: {catalog["StructTreeRoot"]},
		noticeProfiles:  {catalog["OutputIntents"]},
		noticePrivate:   {catalog["PieceInfo"]},
		noticePassword:  {b.f.trailer["Encrypt"]},
	} {
		for _, o := range list {
			if b.f.resolve(o) != nil {
				b.remove(n)
			}
		}
	}
}

// pageWalk goes through the page tree (ISO 32000-1 section 7.7.3) in order.
type pageWalk struct {
	b    *builder
	form dict
	tree ref
	kids array
	seen map[ref]bool
}

func (w *pageWalk) node(o any, inherited dict, depth int) {
	if r, ok := o.(ref); ok {
		if w.seen[r] {
			return
		}
		w.seen[r] = true
	}
	node := w.b.f.dict(o)
	if node == nil {
		return
	}
	if depth > maxDepth {
		refuse(tooMuch)
	}
	w.b.left.spend(costEntry)
	attributes := dict{}
	for _, k := range []name{"Resources", "MediaBox", "CropBox", "Rotate"} {
		if v := first(node, k); v != nil {
			attributes[k] = v
		} else if v := first(inherited, k); v != nil {
			attributes[k] = v
		}
	}
	if kids := w.b.f.array(node["Kids"]); kids != nil && w.b.f.name(node["Type"]) != "Page" {
		for _, kid := range kids {
			w.node(kid, attributes, depth+1)
		}
		return
	}
	take(&w.b.left.pages, 1)
	w.kids = append(w.kids, w.b.page(node, attributes, w.form, w.tree))
}

// page builds a page (ISO 32000-1 table 30): the part of it that is shown, its
// content, and the appearance of its fields and annotations on top.
func (b *builder) page(node, inherited, form dict, tree ref) ref {
	r := b.add(nil)
	d := dict{"Type": name("Page"), "Parent": tree, "MediaBox": b.box(inherited)}
	if turn := ((b.f.integer(inherited["Rotate"], 0)/90)%4 + 4) % 4; turn != 0 {
		d["Rotate"] = 90 * turn
	}
	if unit := b.f.resolve(node["UserUnit"]); isNumber(unit) && unit != 1 {
		d["UserUnit"] = unit
	}
	for _, k := range []name{"PieceInfo", "LastModified", "Metadata"} {
		if node[k] != nil {
			b.remove(noticePrivate)
		}
	}
	if node["AA"] != nil {
		b.remove(noticeScripts)
	}
	s := b.scope(inherited["Resources"], nil)
	if group := b.group(node["Group"], s); group != nil {
		d["Group"] = group
	}
	content := b.content(b.contents(node["Contents"]), s)
	if over := b.annotations(node["Annots"], form, s); len(over) > 0 {
		content = slices.Concat([]byte("q\n"), content, []byte("Q\n"), over)
	}
	d["Contents"] = b.add(b.deflated(dict{}, content))
	d["Resources"] = s.resources()
	b.objects[r-1] = d
	return r
}

// box returns what of a page is shown: the crop box where it lies within the media box.
func (b *builder) box(attributes dict) array {
	ordered := func(o any) (array, [4]float64) {
		box := b.f.numbers(o, 4)
		var v [4]float64
		for i := range box {
			v[i], _ = float(box[i])
		}
		for i := range 2 {
			if box != nil && v[i] > v[i+2] {
				box[i], box[i+2] = box[i+2], box[i]
				v[i], v[i+2] = v[i+2], v[i]
			}
		}
		if v[0] == v[2] || v[1] == v[3] {
			box = nil
		}
		return box, v
	}
	media, m := ordered(attributes["MediaBox"])
	if media == nil {
		media, m = array{0, 0, 612, 792}, [4]float64{0, 0, 612, 792}
	}
	crop, c := ordered(attributes["CropBox"])
	if crop == nil || c[0] >= m[2] || c[1] >= m[3] || c[2] <= m[0] || c[3] <= m[1] {
		return media
	}
	for i := range crop {
		if i < 2 && c[i] < m[i] || i >= 2 && c[i] > m[i] {
			crop[i] = media[i]
		}
	}
	return crop
}

// contents joins the content streams of a page. They divide only between tokens.
func (b *builder) contents(o any) []byte {
	list := b.f.array(o)
	if list == nil {
		list = array{o}
	}
	var all []byte
	for _, o := range list {
		if s, ok := b.f.resolve(o).(*stream); ok {
			if data := b.f.decode(s); all == nil {
				all = data
			} else {
				all = append(append(all, '\n'), data...)
			}
		}
	}
	return all
}
