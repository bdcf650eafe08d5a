package minio

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
)

// element is an element of an XML document that is carried over as it is,
// whatever it holds. Namespaces are left out: S3 has one.
type element struct {
	name       string
	attributes string // as written, each after a space
	text       string // of an element without children
	children   []element
}

// maxDepth of a document; that of a lifecycle is 6.
const maxDepth = 16

var errXML = errors.New("not an XML document of the expected form")

// parseElement reads a document. Its size is the reader's to bound.
func parseElement(document []byte) (element, error) {
	d := xml.NewDecoder(bytes.NewReader(document))
	for {
		token, err := d.Token()
		if err != nil {
			return element{}, errXML
		}
		if start, ok := token.(xml.StartElement); ok {
			root, err := parseInside(d, start, maxDepth)
			if err != nil {
				return element{}, err
			}
			for { // only space and comments may follow
				switch token, err := d.Token(); {
				case errors.Is(err, io.EOF):
					return root, nil
				case err != nil:
					return element{}, errXML
				default:
					if _, ok := token.(xml.StartElement); ok {
						return element{}, errXML
					}
				}
			}
		}
	}
}

func parseInside(d *xml.Decoder, start xml.StartElement, depth int) (element, error) {
	if depth == 0 {
		return element{}, errXML
	}
	attributes, err := encodeAttributes(start.Attr)
	if err != nil {
		return element{}, err
	}
	e := element{name: start.Name.Local, attributes: attributes}
	var text strings.Builder
	for {
		token, err := d.Token()
		if err != nil {
			return element{}, errXML
		}
		switch t := token.(type) {
		case xml.StartElement:
			child, err := parseInside(d, t, depth-1)
			if err != nil {
				return element{}, err
			}
			e.children = append(e.children, child)
		case xml.CharData:
			text.Write(t)
		case xml.EndElement:
			if len(e.children) == 0 {
				e.text = text.String()
			} else if strings.TrimSpace(text.String()) != "" {
				return element{}, errXML // text between elements would be lost
			}
			return e, nil
		}
	}
}

// encodeAttributes leaves out the namespace. One of another namespace could not
// be written back.
func encodeAttributes(list []xml.Attr) (string, error) {
	var b bytes.Buffer
	for _, a := range list {
		switch {
		case a.Name.Local == "xmlns" || a.Name.Space == "xmlns":
			continue
		case a.Name.Space != "":
			return "", errXML
		}
		b.WriteString(" " + a.Name.Local + `="`)
		_ = xml.EscapeText(&b, []byte(a.Value)) // a buffer takes everything
		b.WriteByte('"')
	}
	return b.String(), nil
}

// append writes the element to b.
func (e element) append(b *bytes.Buffer, xmlns string) {
	b.WriteString("<" + e.name)
	if xmlns != "" {
		b.WriteString(` xmlns="` + xmlns + `"`)
	}
	b.WriteString(e.attributes + ">")
	_ = xml.EscapeText(b, []byte(e.text))
	for _, c := range e.children {
		c.append(b, "")
	}
	b.WriteString("</" + e.name + ">")
}

// child returns the first child of that name.
func (e element) child(name string) (element, bool) {
	i := slices.IndexFunc(e.children, func(c element) bool { return c.name == name })
	if i < 0 {
		return element{}, false
	}
	return e.children[i], true
}

// canonical is equal for elements that mean the same: the order of children
// has no meaning in the documents of S3.
func (e element) canonical() string {
	parts := make([]string, len(e.children))
	for i, c := range e.children {
		parts[i] = c.canonical()
	}
	slices.Sort(parts)
	var b bytes.Buffer
	b.WriteString("<" + e.name + e.attributes + ">")
	_ = xml.EscapeText(&b, []byte(e.text))
	for _, p := range parts {
		b.WriteString(p)
	}
	b.WriteString("</>")
	return b.String()
}
