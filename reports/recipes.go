package reports

import (
	"encoding/json"
	"sync"

	"ablate/arch"
	"ablate/recipe"
)

// Recipes are recorded recipes that were read, by their text: a thousand runs share a few, every row is compared with
// one baseline, and who makes the tables of a study again and again keeps them. The zero value is ready to use.
type Recipes struct {
	mu   sync.Mutex
	read map[string]readRecipe
}

type readRecipe struct {
	recipe recipe.Recipe
	err    error
}

// maxRecipes bounds how many are kept.
const maxRecipes = 2000

func (r *Recipes) decode(text json.RawMessage) (recipe.Recipe, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.read[string(text)]
	if !ok {
		known.recipe, known.err = recipe.Decode(text)
		if r.read == nil || len(r.read) >= maxRecipes {
			r.read = map[string]readRecipe{}
		}
		r.read[string(text)] = known
	}
	return known.recipe, known.err
}

// ours is a recipe that ablate or a program of the user's trained by; nil where it is not ours to read, as an import's.
func (r *Recipes) ours(text json.RawMessage) *recipe.Recipe {
	known, err := r.decode(text)
	if err != nil || known.Net == nil && !known.IsProgram() {
		return nil
	}
	return &known
}

// lenient is for a title, for which no report should fail. What was not trained by ablate, or is damaged, has an empty
// one.
func (r *Recipes) lenient(text json.RawMessage) recipe.Recipe {
	known, err := r.decode(text)
	if err != nil {
		known = recipe.Recipe{}
	}
	if known.Net == nil {
		known.Net = &arch.Net{}
	}
	return known
}
