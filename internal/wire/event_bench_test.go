package wire_test

import (
	"strings"
	"testing"

	"github.com/seri-queue/seri/internal/wire"
)

func BenchmarkAbout(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		wire.About("Q5YHRWTHQ6E6TDYKR5UJ2HFSMA", "email:welcome", "user:42")
	}
}

func BenchmarkSucceededEvent(b *testing.B) {
	about := wire.About("Q5YHRWTHQ6E6TDYKR5UJ2HFSMA", "email:welcome", "user:42")
	b.ReportAllocs()
	for b.Loop() {
		wire.SucceededEvent(about, 1, 1024)
	}
}

// An entry holds the events of a batch: here of a hundred tasks.
func BenchmarkDecodeEvents(b *testing.B) {
	event := `{"seq":3,"at":1763800000123,` +
		wire.SucceededEvent(wire.About("Q5YHRWTHQ6E6TDYKR5UJ2HFSMA", "email:welcome", "user:42"), 1, 11) + `{"ok":true}}}`
	entry := "[" + strings.Repeat(event+",", 99) + event + "]"
	b.ReportAllocs()
	b.SetBytes(int64(len(entry)))
	for b.Loop() {
		if _, err := wire.DecodeEvents("mail", entry); err != nil {
			b.Fatal(err)
		}
	}
}

// Progress comes by itself mostly: an entry of one event.
func BenchmarkDecodeProgress(b *testing.B) {
	entry := `[{"seq":7,"at":1763800000123,"kind":"progress",` + wire.About("Q5YHRWTHQ6E6TDYKR5UJ2HFSMA", "csv.profile", "user:42") +
		`,"data":{"done":37,"total":100,"message":"37 of 100 rows"}}]`
	b.ReportAllocs()
	b.SetBytes(int64(len(entry)))
	for b.Loop() {
		if _, err := wire.DecodeEvents("default", entry); err != nil {
			b.Fatal(err)
		}
	}
}
