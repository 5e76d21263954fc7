package cmd

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// helpTemplate begins with the examples, which are all that most readers need.
const helpTemplate = `{{.Short}}.{{if .HasExample}}

{{.Example}}{{end}}{{with .Long}}

{{. | trimTrailingWhitespaces}}{{end}}

{{.UsageString}}`

// usageTemplate is cobra's template without the examples, which help has already shown.
const usageTemplate = `Usage:{{if .Runnable}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} [command]{{end}}{{if .HasAvailableSubCommands}}{{$all := .Commands}}{{range $group := .Groups}}

{{.Title}}{{range $all}}{{if and (eq .GroupID $group.ID) .IsAvailableCommand}}
  {{rpad .Name .NamePadding }} {{.Short}}{{end}}{{end}}{{end}}{{if not .AllChildCommandsHaveGroup}}

{{if .Groups}}Other commands:{{else}}Commands:{{end}}{{range $all}}{{if (and (eq .GroupID "")
    (or .IsAvailableCommand (eq .Name "help")))}}
  {{rpad .Name .NamePadding }} {{.Short}}{{end}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Global flags:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableSubCommands}}

"{{.CommandPath}} [command] --help" explains a command.{{end}}
`

// version returns the module's version, or the commit that the program was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return describeBuild(info)
}

func describeBuild(info *debug.BuildInfo) string {
	set := map[string]string{}
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	at := info.Main.Version
	if commit := set["vcs.revision"]; commit != "" && (at == "" || at == "(devel)") {
		at = "commit " + commit
		if set["vcs.modified"] == "true" {
			at += " with uncommitted changes"
		}
	}
	if at == "" || at == "(devel)" {
		at = "unknown commit (built with -buildvcs=false, or outside a repository)"
	}
	return fmt.Sprintf("%s, %s %s/%s", at, info.GoVersion, set["GOOS"], set["GOARCH"])
}

// completes completes a command's first argument with names and with files.
func completes(names func() []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return names(), cobra.ShellCompDirectiveDefault
	}
}
