// Package dashboards holds dashboards as files, and the test that every figure they name exists. grafana.json is to be
// imported into Grafana; the one for CloudWatch is deploy/ecs/dashboard.json, which Terraform makes.
package dashboards
