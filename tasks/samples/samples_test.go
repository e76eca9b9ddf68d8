package samples_test

import (
	"bytes"
	"encoding/csv"
	"image/jpeg"
	"testing"

	"github.com/seri-queue/seri/tasks/samples"
)

func TestSamplesAreWhatTheyClaim(t *testing.T) {
	t.Parallel()
	photo, err := samples.FS.ReadFile("photo.jpeg")
	if err != nil {
		t.Fatal(err)
	}
	if m, err := jpeg.Decode(bytes.NewReader(photo)); err != nil || m.Bounds().Dx() != 150 || m.Bounds().Dy() != 103 {
		t.Errorf("photo.jpeg: %v", err)
	}
	cities, err := samples.FS.Open("cities.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer cities.Close()
	if rows, err := csv.NewReader(cities).ReadAll(); err != nil || len(rows) < 201 || len(rows[0]) != 9 {
		t.Errorf("cities.csv: %d rows, %v", len(rows), err)
	}
}
