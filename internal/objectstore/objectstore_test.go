package objectstore

import (
	"maps"
	"strings"
	"testing"
	"time"
)

func TestEncryptionMeets(t *testing.T) {
	none, s3 := Encryption{}, Encryption{Type: EncryptionS3}
	kms := func(key string) Encryption { return Encryption{Type: EncryptionKMS, KMSKeyID: key} }
	const arn = "arn:aws:kms:eu-west-1:123456789012:key/1234-5"
	for _, tc := range []struct {
		is, asked Encryption
		want      bool
	}{
		{none, none, true},
		{s3, none, true},
		{none, s3, false},
		{s3, s3, true},
		{kms(arn), s3, true},
		{Encryption{Type: "rot13"}, s3, false},
		{none, kms(""), false},
		{s3, kms(""), false},
		{kms(arn), kms(""), true},
		{kms(arn), kms(arn), true},
		{kms(arn), kms("1234-5"), true},
		{kms("arn:aws:kms:test-key"), kms("test-key"), true},
		{Encryption{Type: "aws:kms:dsse", KMSKeyID: arn}, kms(arn), true},
		{kms(arn), kms("alias/audit"), true},
		{kms(arn), kms("arn:aws:kms:eu-west-1:123456789012:alias/audit"), true},
		{kms(arn), kms("5"), false},
		{kms(arn), kms(strings.Replace(arn, "1234-5", "1234-6", 1)), false},
		{kms(""), kms(arn), false},
	} {
		if got := tc.is.Meets(tc.asked); got != tc.want {
			t.Errorf("%+v meets %+v: want %v, got %v", tc.is, tc.asked, tc.want, got)
		}
	}
}

func TestRetentionMeets(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	of := func(m RetentionMode, d time.Duration) Retention { return Retention{m, now.Add(d)} }
	for _, tc := range []struct {
		is, asked Retention
		want      bool
	}{
		{Retention{}, Retention{}, true},
		{Retention{}, of(RetentionGovernance, 0), false},
		{of(RetentionGovernance, 0), of(RetentionGovernance, 0), true},
		{Retention{RetentionGovernance, now.Truncate(time.Second)}, of(RetentionGovernance, 0), true}, // as a header has it
		{of(RetentionGovernance, -time.Second), of(RetentionGovernance, 0), false},
		{of(RetentionGovernance, time.Hour), of(RetentionCompliance, 0), false},
		{of(RetentionCompliance, 0), of(RetentionGovernance, 0), true},
		{of(RetentionGovernance, 0), Retention{}, true},
	} {
		if got := tc.is.Meets(tc.asked); got != tc.want {
			t.Errorf("%+v meets %+v: want %v, got %v", tc.is, tc.asked, tc.want, got)
		}
	}
}

func TestChecks(t *testing.T) {
	rule := LifecycleRule{ID: "o/1", ExpireDays: 1}
	with := func(change func(*LifecycleRule)) error {
		r := rule
		change(&r)
		return CheckLifecycle("o/", []LifecycleRule{r})
	}
	for name, err := range map[string]error{
		"no owner":           CheckLifecycle("", []LifecycleRule{rule}),
		"rule of others":     CheckLifecycle("p/", []LifecycleRule{rule}),
		"one ID twice":       CheckLifecycle("o/", []LifecycleRule{rule, rule}),
		"long ID":            with(func(r *LifecycleRule) { r.ID += strings.Repeat("x", 255) }),
		"partial":            with(func(r *LifecycleRule) { r.Partial = true }),
		"nothing":            with(func(r *LifecycleRule) { r.ExpireDays = 0 }),
		"negative":           with(func(r *LifecycleRule) { r.ExpireDays = -1 }),
		"too long":           with(func(r *LifecycleRule) { r.NoncurrentExpireDays = MaxLifecycleDays + 1 }),
		"to nowhere":         with(func(r *LifecycleRule) { r.TransitionDays = 1 }),
		"too many":           CheckLifecycle("o/", make([]LifecycleRule, MaxLifecycleRules+1)),
		"encryption":         Encryption{Type: "aws:KMS"}.Check(),
		"key without KMS":    Encryption{Type: EncryptionS3, KMSKeyID: "k"}.Check(),
		"key as header":      Encryption{Type: EncryptionKMS, KMSKeyID: "k\r\nX: y"}.Check(),
		"mode":               Retention{Mode: "LEGAL", Until: time.Now()}.Check(),
		"no end":             Retention{Mode: RetentionGovernance}.Check(),
		"no mode":            Retention{Until: time.Now()}.Check(),
		"put, encryption":    PutOptions{Encryption: Encryption{Type: "x"}}.Check(),
		"put, retention":     PutOptions{Retention: Retention{Mode: "x"}}.Check(),
		"days and years":     DefaultRetention{RetentionGovernance, 1, 1}.Check(),
		"neither":            DefaultRetention{Mode: RetentionGovernance}.Check(),
		"days without mode":  DefaultRetention{Days: 1}.Check(),
		"negative years":     DefaultRetention{RetentionGovernance, 0, -1}.Check(),
		"years without end":  DefaultRetention{RetentionGovernance, 0, 101}.Check(),
		"policy is not JSON": CheckPolicy("{"),
		"long policy":        CheckPolicy(`"` + strings.Repeat("x", MaxPolicySize) + `"`),
	} {
		if err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
	for name, err := range map[string]error{
		"rule":       CheckLifecycle("o/", []LifecycleRule{rule}),
		"no rules":   CheckLifecycle("o/", nil),
		"at once":    with(func(r *LifecycleRule) { r.StorageClass = "GLACIER" }),
		"no wishes":  PutOptions{}.Check(),
		"wishes":     PutOptions{Encryption: Encryption{EncryptionKMS, "alias/a"}, Retention: Retention{RetentionCompliance, time.Now()}}.Check(),
		"no default": DefaultRetention{}.Check(),
		"years":      DefaultRetention{RetentionCompliance, 0, 7}.Check(),
		"no policy":  CheckPolicy(""),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMergeTags(t *testing.T) {
	have := map[string]string{"a": "1", "b": "2"}
	got, err := MergeTags(have, map[string]string{"b": "3", "c": "4"}, []string{"a", "b", "x"})
	if err != nil || !maps.Equal(got, map[string]string{"b": "3", "c": "4"}) || len(have) != 2 {
		t.Errorf("got %v, %v", got, err)
	}
	many := map[string]string{}
	for i := range MaxTags {
		many[strings.Repeat("k", i+1)] = ""
	}
	for name, set := range map[string]map[string]string{
		"too many": {"another": ""}, "no key": {"": "x"}, "long value": {"k": strings.Repeat("v", 2000)}, "not text": {"k": "\xff"},
	} {
		if _, err := MergeTags(many, set, nil); err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
}
