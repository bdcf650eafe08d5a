package forward

import (
	"net"
	"testing"
)

func listen(t *testing.T, address string) (net.Listener, error) {
	t.Helper()
	return (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
}
