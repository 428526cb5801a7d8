package gateway

import (
	_ "embed" // the table of settings is read from the comments of config.go
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"reflect"
	"strings"
)

//go:embed config.go
var configSource string

// settingsTable is the README's table of settings: the fields of Config with their comments.
func settingsTable() []string {
	rows := []string{"| setting | default | meaning |", "|---|---|---|"}
	file, err := parser.ParseFile(gotoken.NewFileSet(), "config.go", configSource, parser.ParseComments)
	if err != nil {
		return append(rows, "| | | "+err.Error()+" |")
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Config" {
			return true
		}
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			if row := settingRow(f); row != "" {
				rows = append(rows, row)
			}
		}
		return false
	})
	return rows
}

func settingRow(f *ast.Field) string {
	if f.Tag == nil {
		return ""
	}
	tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`"))
	name, value := tag.Get("env"), tag.Get("envDefault")
	if name == "" {
		return ""
	}
	if value != "" {
		value = "`" + value + "`"
	}
	if tag.Get("secret") != "" {
		name += "`, `" + name + "_FILE"
	}
	return fmt.Sprintf("| `%s` | %s | %s |", name, value, strings.TrimSpace(f.Comment.Text()))
}
