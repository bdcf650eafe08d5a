package spool

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestItems(t *testing.T) {
	want := [][]byte{[]byte("one"), {}, bytes.Repeat([]byte("x"), 300), []byte("last")}
	var data []byte
	for _, item := range want {
		data = AppendItem(data, item)
	}
	var got [][]byte
	for item, err := range Items(data) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, item)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, err := range Items(data) { // may be left early
		if err != nil {
			t.Error(err)
		}
		break
	}
}

// TestItemsBroken: the items before the break are yielded, then one error.
func TestItemsBroken(t *testing.T) {
	good := AppendItem(nil, []byte("good"))
	for name, tail := range map[string][]byte{
		"short":    {5, 'a'},
		"huge":     {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"overflow": bytes.Repeat([]byte{0xff}, 20),
		"cut":      {0x80},
	} {
		items, errors := 0, 0
		for _, err := range Items(append(bytes.Clone(good), tail...)) {
			if err != nil {
				errors++
				continue
			}
			items++
		}
		if items != 1 || errors != 1 {
			t.Errorf("%s: %d items, %d errors", name, items, errors)
		}
	}
}

func FuzzItems(f *testing.F) {
	f.Add([]byte{})
	f.Add(AppendItem(AppendItem(nil, []byte("a")), []byte("bc")))
	f.Add([]byte{0x80, 0x00})
	f.Add(bytes.Repeat([]byte{0xff}, 11))
	f.Fuzz(func(t *testing.T, data []byte) {
		size := 0
		for item, err := range Items(data) {
			if err != nil {
				return
			}
			size += len(item) + 1
		}
		if size > len(data) {
			t.Fatalf("%d bytes of items from %d bytes", size, len(data))
		}
	})
}
