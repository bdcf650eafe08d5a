package auditevent

// place says where the reading of an envelope stopped.
type place uint8

const (
	atItems place = iota // behind the opening bracket of the items
	atEnd                // behind the list
)

// envelope is what an EventList holds besides its items.
type envelope struct {
	scan          scanner
	began         bool // the opening bracket was read
	behind        bool // a member was read
	kind, version bool
	items         bool
	wrong         bool // not an audit.k8s.io/v1 EventList
}

// read reads members up to the items, or to the end of the list.
func (l *envelope) read(b []byte) (n int, at place, r result) {
	i := space(b, 0)
	if !l.began {
		if i == len(b) {
			return i, atEnd, short
		}
		if b[i] != '{' {
			return i, atEnd, syntax
		}
		l.began = true
		i = space(b, i+1)
	}
	for {
		if i = space(b, i); i == len(b) {
			return i, atEnd, short
		}
		switch c := b[i]; {
		case c == '}':
			l.wrong = l.wrong || !l.kind || !l.version
			return i + 1, atEnd, scanned
		case l.behind && c != ',':
			return i, atEnd, syntax
		case l.behind:
			i = space(b, i+1)
		}
		key := i + 1
		if i, _, r = l.scan.key(b, i); r != scanned {
			return i, atEnd, r
		}
		name := keyAt(b, key)
		if i = space(b, i); i == len(b) {
			return i, atEnd, short
		}
		l.behind = true
		if name == "items" {
			if l.items {
				return i, atEnd, syntax
			}
			l.items = true
			if b[i] == '[' {
				return i + 1, atItems, scanned
			}
			if b[i] != 'n' {
				return i, atEnd, syntax
			}
		}
		start := i
		if i, r = l.scan.value(b, i, 1); r != scanned {
			return i, atEnd, r
		}
		switch name {
		case "kind":
			l.kind = string(b[start:i]) == `"EventList"`
			l.wrong = l.wrong || !l.kind
		case "apiVersion":
			l.version = string(b[start:i]) == `"audit.k8s.io/v1"`
			l.wrong = l.wrong || !l.version
		}
		if l.wrong {
			return i, atEnd, scanned
		}
	}
}

// keyAt returns the content of the key that begins at i, if it has no escapes.
func keyAt(b []byte, i int) string {
	for j := i; j < len(b); j++ {
		if b[j] == '"' {
			return alias(b[i:j])
		}
	}
	return ""
}
