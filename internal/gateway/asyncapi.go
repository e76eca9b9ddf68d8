package gateway

import _ "embed"

// AsyncAPI is the contract of the WebSocket of commands, an AsyncAPI 3 document in YAML.
//
//go:embed asyncapi.yaml
var AsyncAPI []byte
