package reports

import (
	"encoding/json"
	"sync"

	"ablate/arch"
	"ablate/recipe"
)

// Recipes caches parsed recipes by their text. A thousand runs share a few recipes, and every row is compared with one
// baseline. Callers that make tables of a study repeatedly can keep the cache. The zero value is ready to use.
type Recipes struct {
	mu   sync.Mutex
	read map[string]readRecipe
}

type readRecipe struct {
	recipe recipe.Recipe
	err    error
}

// maxRecipes bounds how many recipes are kept.
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

// ours returns a recipe that ablate or a user's program trained with. It returns nil for others, such as an import's.
func (r *Recipes) ours(text json.RawMessage) *recipe.Recipe {
	known, err := r.decode(text)
	if err != nil || known.Net == nil && !known.IsProgram() {
		return nil
	}
	return &known
}

// lenient is for a title, for which no report should fail. It returns an empty recipe if the text is damaged or if
// ablate did not train the run.
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
