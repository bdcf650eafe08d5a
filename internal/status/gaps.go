package status

import (
	"fmt"
	"strings"

	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// maxNamed is how many names a list in a message has.
const maxNamed = 5

// nouns name classes in messages.
var nouns = map[receiverstatus.Class]string{
	receiverstatus.ClassRead:   "reads",
	receiverstatus.ClassWrite:  "changes",
	receiverstatus.ClassSecret: "calls on Secrets",
}

// missing says which calls that the trail selects do not arrive; empty when
// nothing is known to be missing. asked: the trail asks for some of them by
// themselves, so that it does not do what its spec says.
func (o *Observation) missing() (message string, asked bool) {
	var subjects []string         // which API servers
	what := map[string][]string{} // of each, what does not come
	for _, class := range receiverstatus.ProbeClasses {
		byItself, selected := o.Classes[class]
		var servers []string
		for _, g := range o.Gaps {
			if g.Class == class {
				servers = append(servers, g.APIServer)
			}
		}
		if !selected || len(servers) == 0 {
			continue
		}
		asked = asked || byItself
		subject := "The API server " + servers[0] + " sends"
		if len(servers) > 1 {
			subject = "The API servers " + enumerate(servers) + " send"
		}
		if what[subject] == nil {
			subjects = append(subjects, subject)
		}
		what[subject] = append(what[subject], "no "+nouns[class])
	}
	if len(subjects) == 0 {
		return "", false
	}
	for i, s := range subjects {
		subjects[i] = s + " " + enumerate(what[s])
	}
	return strings.Join(subjects, ". ") + ", which this trail selects: the audit policy leaves them out. " +
		"Start each with the policy that `kubectl trail audit-policy` prints.", asked
}

// enumerate makes a bounded list in words.
func enumerate(names []string) string {
	if more := len(names) - maxNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), more)
	}
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, "")
}
