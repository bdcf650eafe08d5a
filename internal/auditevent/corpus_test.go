package auditevent

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// recorded returns the items of the EventLists that real API servers posted,
// without white space, by file.
func recorded(t testing.TB) map[string][][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/eventlists/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded EventLists: %v", err)
	}
	all := map[string][][]byte{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var list struct{ Items []json.RawMessage }
		if err := json.Unmarshal(b, &list); err != nil {
			t.Fatal(err)
		}
		for _, item := range list.Items {
			var compact bytes.Buffer
			if err := json.Compact(&compact, item); err != nil {
				t.Fatal(err)
			}
			all[filepath.Base(f)] = append(all[filepath.Base(f)], compact.Bytes())
		}
	}
	return all
}
