package installation

import (
	"bytes"
	"strings"
	"testing"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
)

func TestFits(t *testing.T) {
	name, other := receiverconfig.TrailFile("u"), receiverconfig.TrailFile("other")
	of := func(n int) []byte { return bytes.Repeat([]byte("x"), n) }
	// full is a shard in which a file of n bytes is all that is left room for.
	full := func(present []byte) map[string][]byte {
		return map[string][]byte{name: present, other: of(manifests.MaxSecretData - len(name) - len(other) - len(present))}
	}
	running := receiverconfig.Trail{UID: "u", Generation: 1, ARN: strings.Repeat("a", 2*ownRoom)}
	stopped, changed := running, running
	stopped.Generation, stopped.Suspended, stopped.Deleting = 2, true, true
	changed.Generation, changed.Suspended, changed.ARN = 2, true, running.ARN+"more"
	for title, tc := range map[string]struct {
		files        map[string][]byte
		raw          []byte
		organization bool
		want         bool
	}{
		"it becomes smaller":                  {full(of(9 * ownRoom)), of(8 * ownRoom), false, true},
		"it grows within what each may have":  {full(of(10)), of(ownRoom), false, true},
		"it grows beyond that":                {full(of(10)), of(ownRoom + 1), false, false},
		"it only stops":                       {full(record.MustJSON(running)), record.MustJSON(stopped), false, true},
		"it stops and something else changes": {full(record.MustJSON(running)), record.MustJSON(changed), false, false},
		"even the room for stops is used": {
			map[string][]byte{name: of(10), other: of(manifests.MaxSecretData + stopRoom - len(name) - len(other) - 10)}, of(11), false, false,
		},
		"a tenant's is as large as may be": {nil, of(maxTenantTrail), false, true},
		"a tenant's is larger":             {nil, of(maxTenantTrail + 1), false, false},
		"an organization's may be larger":  {nil, of(maxTenantTrail + 1), true, true},
		"a new one takes what others may need": {
			map[string][]byte{other: of(manifests.MaxSecretData - len(name) - len(other) - ownRoom)}, of(10), true, true,
		},
		"a new one takes a byte more": {
			map[string][]byte{other: of(manifests.MaxSecretData - len(name) - len(other) - ownRoom + 1)}, of(10), true, false,
		},
	} {
		t.Run(title, func(t *testing.T) {
			if got := fits(tc.files, &change{uid: "u", organization: tc.organization, raw: tc.raw}); got != tc.want {
				t.Errorf("it fits: %v, want %v", got, tc.want)
			}
		})
	}
}
