package serve

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// A part is an element of a page that may change, <section id="table" data-part>. Parts are not nested. Each is sent
// with a digest of its contents. A page that requests itself again lists its digests in the header hasHeader, and gets
// the parts that differ.
const (
	partMark  = " data-part>"
	hasHeader = "Ablate-Has" // table=0123456789abcdef curves=…
)

// partsOf returns the digest of each part that the requesting page has.
func partsOf(header string) map[string]string {
	has := map[string]string{}
	for word := range strings.FieldsSeq(header) {
		if id, digest, ok := strings.Cut(word, "="); ok {
			has[id] = digest
		}
	}
	return has
}

// thin adds to each part its digest, and leaves out the parts that the reader has.
func thin(text []byte, has map[string]string) []byte {
	var out bytes.Buffer
	out.Grow(len(text))
	for {
		mark := bytes.Index(text, []byte(partMark))
		if mark < 0 {
			out.Write(text)
			return out.Bytes()
		}
		begin := mark + len(partMark)
		open := text[bytes.LastIndexByte(text[:mark], '<'):mark]
		tag, _, _ := bytes.Cut(open[1:], []byte(" "))
		inner := text[begin:]
		inner = inner[:closing(inner, string(tag))]
		sum := sha256.Sum256(inner)
		digest := hex.EncodeToString(sum[:8])
		out.Write(text[:mark])
		out.WriteString(` data-part="` + digest + `"`)
		if has[idOf(string(open))] == digest {
			out.WriteString(" data-same>")
		} else {
			out.WriteByte('>')
			out.Write(inner)
		}
		text = text[begin+len(inner):]
	}
}

func idOf(open string) string {
	_, rest, _ := strings.Cut(open, ` id="`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}

// closing returns where the element ends in whose content the text begins. Pages come from our templates: their
// elements are closed, and words cannot look like tags.
func closing(text []byte, tag string) int {
	open, shut := []byte("<"+tag), []byte("</"+tag)
	depth, at := 1, 0
	for {
		end := bytes.Index(text[at:], shut)
		if end < 0 {
			return len(text)
		}
		depth += bytes.Count(text[at:at+end], open)
		if depth--; depth == 0 {
			return at + end
		}
		at += end + len(shut)
	}
}
