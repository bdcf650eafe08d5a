package receiverclient

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

// idsAtOnce is how many IDs one request has: each is a sync of the volume, and
// an answer has its time.
const idsAtOnce = 50

// ErrNotKept is returned when nothing is kept under the ID, or no more.
var ErrNotKept = errors.New("nothing is kept under this ID, or no more")

var errKept = errors.New("the receiver's answer is not a list of what it keeps: plugin and receiver must be of the same version")

// Kept reads one page of what is kept of the kinds, or of all, and of one trail,
// if its UID is given. limit 0 leaves the size of the page to the receiver.
func (c *Client) Kept(ctx context.Context, kinds []string, trail string, limit int, after string) (*receiverstatus.KeptList, error) {
	q := url.Values{}
	for name, value := range map[string]string{"kind": strings.Join(kinds, ","), "trail": trail, "continue": after} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	body, err := c.do(ctx, http.MethodGet, receiverstatus.PathKept+"?"+q.Encode(), nil, http.StatusOK)
	if err != nil {
		return nil, err
	}
	list := &receiverstatus.KeptList{}
	if json.Unmarshal(body, list) != nil {
		return nil, errKept
	}
	return list, nil
}

// KeptOne reads one, with the masked copy of an item.
func (c *Client) KeptOne(ctx context.Context, id string) (*receiverstatus.Kept, error) {
	body, err := c.do(ctx, http.MethodGet, receiverstatus.PathKept+"/"+url.PathEscape(id), nil, http.StatusOK)
	if err != nil {
		return nil, err
	}
	k := &receiverstatus.Kept{}
	if json.Unmarshal(body, k) != nil {
		return nil, errKept
	}
	return k, nil
}

// Replay treats items in quarantine as if they had just come.
func (c *Client) Replay(ctx context.Context, ids []string) ([]receiverstatus.KeptOutcome, error) {
	return c.keptIDs(ctx, receiverstatus.PathReplay, ids)
}

// Redeliver asks for the delivery of expired files.
func (c *Client) Redeliver(ctx context.Context, ids []string) ([]receiverstatus.KeptOutcome, error) {
	return c.keptIDs(ctx, receiverstatus.PathRedeliver, ids)
}

func (c *Client) keptIDs(ctx context.Context, path string, ids []string) ([]receiverstatus.KeptOutcome, error) {
	var all []receiverstatus.KeptOutcome
	for len(ids) > 0 {
		n := min(len(ids), idsAtOnce)
		body, err := c.do(ctx, http.MethodPost, path, record.MustJSON(receiverstatus.KeptIDs{IDs: ids[:n]}), http.StatusOK)
		if err != nil {
			return all, err
		}
		var out receiverstatus.KeptOutcomes
		if json.Unmarshal(body, &out) != nil || len(out.Items) != n {
			return all, errKept
		}
		all, ids = append(all, out.Items...), ids[n:]
	}
	return all, nil
}

// KeptContent writes the bytes of an expired or abandoned file to w, and
// requires that they are those that the receiver had described.
func (c *Client) KeptContent(ctx context.Context, k *receiverstatus.Kept, w io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+receiverstatus.PathKept+"/"+url.PathEscape(k.ID)+"/content", http.NoBody)
	if err != nil {
		return errors.New("the receiver's address is not host:port")
	}
	client := *c.http.Load()
	client.Timeout = 0 // the context decides
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("the receiver does not answer: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return ErrNotKept
	default:
		return fmt.Errorf("the receiver answered HTTP %d instead of %d", resp.StatusCode, http.StatusOK)
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(resp.Body, k.Bytes+1))
	switch {
	case err != nil:
		return fmt.Errorf("the file broke off: %w", err)
	case n != k.Bytes || hex.EncodeToString(sum.Sum(nil)) != k.SHA256:
		return errors.New("the file is damaged: its SHA-256 is not the one that it had when it was written")
	}
	return nil
}
