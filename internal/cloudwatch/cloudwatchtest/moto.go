package cloudwatchtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"github.com/seri-queue/seri/internal/devstore/redisproc"
)

// Moto starts a server of moto, which imitates the APIs of AWS over HTTP, and returns its address. It skips the test loudly
// where there is none.
func Moto(t testing.TB) (url string) {
	t.Helper()
	binary, err := exec.LookPath("moto_server")
	if err == nil {
		err = exec.CommandContext(t.Context(), "python3", "-c", "import moto").Run()
	}
	if err != nil {
		t.Skip("NOT TESTED: the calls to CloudWatch on the wire; there is no moto_server (pip install 'moto[server,logs]')")
	}
	addr := fmt.Sprintf("127.0.0.1:%d", redisproc.FreePort())
	_, port, _ := net.SplitHostPort(addr)
	var said strings.Builder
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), binary, "-H", "127.0.0.1", "-p", port)
	cmd.Stderr = &said
	cmd.Env = append(os.Environ(), "AWS_EC2_METADATA_DISABLED=true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for deadline := time.After(time.Minute); ; {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			break
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("moto_server does not answer: %s", said.String())
		}
	}
	return "http://" + addr
}

// Client returns a client of the server at an address.
func Client(url string) *cloudwatchlogs.Client {
	return cloudwatchlogs.New(cloudwatchlogs.Options{
		Region: "eu-central-1", BaseEndpoint: aws.String(url), Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	})
}
