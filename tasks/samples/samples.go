// Package samples holds small real files on which the tasks can be tried: FS is served by the api at /samples/.
package samples

import "embed"

// FS holds photo.jpeg, a photo of 150 × 103 pixels, and cities.csv, large cities of the world with a header row.
// README.md beside them says where they come from.
//
//go:embed photo.jpeg cities.csv
var FS embed.FS
