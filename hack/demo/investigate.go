package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	"github.com/trail-operator/trail-operator/internal/record"
)

// finding is the record that answers the question, and where it stands.
type finding struct {
	key string
	raw map[string]any
}

// investigate answers the question from the bucket alone, as an auditor would.
func (d *demo) investigate() error {
	d.chapter("The answer is in the bucket; the first file of a new trail is delivered after 30 seconds")
	store, err := minio.New(objectstore.Config{
		Endpoint: d.s3.Endpoint, Region: d.s3.Region, Bucket: bucket,
		AccessKey: d.s3.AccessKey, SecretKey: d.s3.SecretKey, AllowPrivate: true,
	})
	if err != nil {
		return err
	}
	var records []record.Record
	if err := d.until("delivery of the deletion", 90*time.Second, func() (err error) {
		records, err = d.read(store)
		if err == nil && d.seen.raw == nil {
			err = fmt.Errorf("no log file with DeleteDeployment by mallory yet")
		}
		return err
	}); err != nil {
		return err
	}
	d.say("s3://%s/%s", bucket, d.seen.key)
	d.say("")
	d.say("%-20s %-28s %-20s %-24s %s", "TIME", "WHO", "EVENT", "RESULT", "FROM")
	want := map[string]bool{}
	for i := range records {
		r := &records[i]
		if r.UserIdentity.Type == "AWSService" || r.ReadOnly && r.EventName != "GetSecret" {
			continue
		}
		who, result := r.UserIdentity.UserName, "ok"
		if r.UserIdentity.SessionContext != nil && r.UserIdentity.SessionContext.SourceIdentity != "" {
			who += " (really " + r.UserIdentity.SessionContext.SourceIdentity + ")"
		}
		if r.ErrorCode != "" {
			result = r.ErrorCode
		}
		want[r.EventName+" "+r.UserIdentity.UserName+" "+result] = true
		d.say("%-20s %-28s %-20s %-24s %s", r.EventTime, who, r.EventName, result, r.SourceIPAddress)
	}
	for _, w := range []string{"CreateDeployment ann ok", "GetSecret ann ok", "DeleteDeployment bob AccessDenied", "DeleteDeployment mallory ok", "DeleteConfigMaps mallory ok"} {
		if !want[w] {
			return fmt.Errorf("the log files lack %q", w)
		}
	}
	d.say("")
	d.say("Who deleted the Deployment web? The record:")
	pretty, err := json.MarshalIndent(d.seen.raw, "", "  ")
	if err != nil {
		return err
	}
	d.indent(string(pretty))
	identity, _ := d.seen.raw["userIdentity"].(map[string]any)
	d.say("→ %v, at %v, from %v with %v", identity["userName"], d.seen.raw["eventTime"], d.seen.raw["sourceIPAddress"], d.seen.raw["userAgent"])
	return d.checkSecrets()
}

// read returns all records of the bucket's log files and remembers the deletion.
func (d *demo) read(store objectstore.Store) ([]record.Record, error) {
	var all []record.Record
	for info, err := range store.List(d.ctx, namespace+"/", "") {
		if err != nil {
			return nil, err
		}
		if !record.IsLogFileKey(info.Key) {
			continue
		}
		raw, err := fetch(d, store, info.Key)
		if err != nil {
			return nil, err
		}
		if d.leaks(raw) {
			return nil, fmt.Errorf("the tenant's secret key stands in %s", info.Key)
		}
		var f record.LogFile
		var loose struct{ Records []map[string]any }
		if err := json.Unmarshal(raw, &f); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &loose); err != nil {
			return nil, err
		}
		for i := range f.Records {
			if r := &f.Records[i]; r.EventName == "DeleteDeployment" && r.ErrorCode == "" && r.UserIdentity.UserName == "mallory" {
				d.seen = finding{info.Key, loose.Records[i]}
			}
		}
		all = append(all, f.Records...)
	}
	return all, nil
}

// leaks reports whether b holds the secret key that the tenant put into a Secret
// while everything was recorded: as it is, or in base64 at any offset.
func (d *demo) leaks(b []byte) bool {
	secret := []byte(d.s3.SecretKey)
	for offset := range 3 {
		encoded := base64.StdEncoding.EncodeToString(append(make([]byte, offset), secret...))
		// The characters at the ends depend on what stands beside the secret.
		if bytes.Contains(b, []byte(encoded[4:len(encoded)-4])) {
			return true
		}
	}
	return bytes.Contains(b, secret)
}

// checkSecrets looks for the secret key in what the receiver and the manager logged.
func (d *demo) checkSecrets() error {
	for _, name := range []string{"receiver", "manager"} {
		log, err := os.ReadFile(filepath.Join(d.processes.logs, name+".log"))
		if err != nil {
			return err
		}
		if d.leaks(log) {
			return fmt.Errorf("the tenant's secret key stands in the log of the %s", name)
		}
	}
	d.say("The Secret that was created and read above is in no log file and in no log.")
	return nil
}

func fetch(d *demo, store objectstore.Store, key string) ([]byte, error) {
	body, _, err := store.Get(d.ctx, key)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	zip, err := gzip.NewReader(body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(zip)
}

// validate checks the whole chain as the auditor, who has only read access.
func (d *demo) validate() error {
	d.chapter("Can the answer be trusted? Validation reads every digest and every log file")
	d.env = append(d.env, "AWS_ACCESS_KEY_ID="+d.s3.AccessKey, "AWS_SECRET_ACCESS_KEY="+d.s3.SecretKey)
	_, err := d.show("", "kubectl trail validate-logs audit -n "+namespace)
	return err
}

// tamper does what somebody with the bucket's credentials could do: it puts
// another name into the record.
func (d *demo) tamper() error {
	d.chapter("Somebody with access to the bucket rewrites history: mallory becomes ann")
	if err := rewrite(filepath.Join(d.s3dir(), "data", bucket, d.seen.key), "mallory", "ann"); err != nil {
		return err
	}
	out, err := d.refused(1, "kubectl trail validate-logs audit -n "+namespace)
	if err != nil {
		return err
	}
	if !strings.Contains(out, d.seen.key) {
		return fmt.Errorf("validation does not name the changed file %s", d.seen.key)
	}
	d.say("The change is found, and named.")
	return nil
}
