//go:build linux

package cluster

import (
	"context"
	"io"
	"net"
	"time"
)

// Forward listens on a free port of the machine's loopback interface, until the
// process ends, and connects who calls to an address of the node. It returns
// the host:port to call.
func (c *Cluster) Forward(address string) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() {
		for {
			caller, err := l.Accept()
			if err != nil {
				return
			}
			go c.connect(caller, address)
		}
	}()
	return l.Addr().String(), nil
}

// connect copies both ways until either side closes. A node that does not answer
// is a connection that closes at once.
func (c *Cluster) connect(caller net.Conn, address string) {
	defer caller.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server, err := c.Dial(ctx, "tcp", address)
	if err != nil {
		return
	}
	defer server.Close()
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{server, caller}, {caller, server}} {
		go func() {
			_, _ = io.Copy(way[0], way[1])
			done <- struct{}{}
		}()
	}
	<-done
}
