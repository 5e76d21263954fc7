// Package ablations holds edits on a recipe, the catalogue of named ablations,
// and the designs that turn a list of components into variants.
package ablations
