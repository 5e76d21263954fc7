package ablations

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"ablate/arch"
	"ablate/recipe"
	"ablate/strictyaml"
)

// ErrNoChange reports an edit that leaves the recipe as it was, so that there is nothing to
// compare.
var ErrNoChange = errors.New("changes nothing")

// An Edit is one change of a recipe:
//
//	remove:  {select: SELECTOR}
//	set:     {select: SELECTOR, KEY: VALUE, …}      KEY: {times: 0.5} scales the present value
//	set:     {key: train.weight_decay, value: 0}    a key of the recipe
//	remove:  {key: params.attention}                a param of a user's program
//	replace: {select: SELECTOR, with: {tanh: {}}}
//	insert:  {after: SELECTOR, layers: […]}         or before:
type Edit struct {
	at     *strictyaml.Node
	action string
	sel    selector
	values *strictyaml.Node // of set: the remaining keys
	key    string           // of the recipe, to set or to remove
	value  *strictyaml.Node
	with   arch.Layer
	before bool
	layers []arch.Layer
}

// SetKey returns the edit that sets a key of data or train.
func SetKey(at *strictyaml.Node, key string, value *strictyaml.Node) Edit {
	return Edit{at: at, action: "set", key: key, value: value}
}

// Key returns the key of the recipe that the edit sets or removes, and "" if it changes layers.
func (e Edit) Key() string { return e.key }

var actions = []string{"remove", "set", "replace", "insert"}

// UnmarshalStrict reads the one-key form.
func (e *Edit) UnmarshalStrict(n *strictyaml.Node) error {
	action, body, err := n.One("an edit")
	if err != nil {
		return err
	}
	if !slices.Contains(actions, action) {
		return strictyaml.Unknown(n, "edit", action, actions)
	}
	if body.Kind != strictyaml.Mapping {
		return body.Errorf("%s wants a mapping", action)
	}
	e.at, e.action = n, action
	switch action {
	case "remove":
		if body.Get("key") != nil {
			return e.decode(body, "", map[string]any{"key": &e.key})
		}
		return e.decode(body, "select", nil)
	case "replace":
		return e.decode(body, "select", map[string]any{"with": &e.with})
	case "insert":
		where := "after"
		if e.before = body.Get("before") != nil; e.before {
			where = "before"
		}
		return e.decode(body, where, map[string]any{"layers": &e.layers})
	default:
		if body.Get("key") != nil {
			if e.value = body.Get("value"); e.value == nil {
				return body.Errorf("set needs a value beside its key")
			}
			if err := e.decode(body.Without("value"), "", map[string]any{"key": &e.key}); err != nil {
				return err
			}
			if e.key == "" {
				return body.Errorf("set needs a key, as in train.weight_decay; this one is empty")
			}
			return nil
		}
		e.values = body.Without("select")
		if len(e.values.Keys()) == 0 {
			return body.Errorf("set needs a key to change beside select")
		}
		return e.decode(body.Without(e.values.Keys()...), "select", nil)
	}
}

// decode reads the selector under one key and the other keys into their targets; all of them are
// required.
func (e *Edit) decode(body *strictyaml.Node, selector string, targets map[string]any) error {
	var known []string
	if selector != "" {
		known = append(known, selector)
	}
	for k := range targets {
		known = append(known, k)
	}
	slices.Sort(known)
	for _, k := range body.Keys() {
		if !slices.Contains(known, k) {
			return strictyaml.Unknown(body.Get(k), "key", k, known)
		}
	}
	for _, k := range known {
		v := body.Get(k)
		if v == nil {
			return body.Errorf("%s needs %s", e.action, k)
		}
		target := targets[k]
		if k == selector {
			target = &e.sel
		}
		if err := v.Decode(target); err != nil {
			return err
		}
	}
	return nil
}

// A selector selects layers by name, by kind, or by both, and optionally one of them by number.
type selector struct {
	at    *strictyaml.Node
	Names []string
	Kinds []string
	Nth   string // first, last, or a number from 1
}

// UnmarshalStrict reads {name: conv1}, {name: [conv1, conv2]}, {kind: relu, nth: last} …
func (s *selector) UnmarshalStrict(n *strictyaml.Node) error {
	s.at = n
	if n.Kind != strictyaml.Mapping || len(n.Keys()) == 0 {
		return n.Errorf("a selector is a mapping of name, kind or both, as in {kind: relu}")
	}
	for _, k := range n.Keys() {
		v := n.Get(k)
		var err error
		switch k {
		case "name":
			err = words(v, &s.Names)
		case "kind":
			if err = words(v, &s.Kinds); err == nil {
				for _, kind := range s.Kinds {
					if !slices.Contains(arch.Kinds(), kind) {
						return strictyaml.Unknown(v, "layer kind", kind, arch.Kinds())
					}
				}
			}
		case "nth":
			err = v.Decode(&s.Nth)
		default:
			return strictyaml.Unknown(v, "key", k, []string{"name", "kind", "nth"})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// words reads a word or a list of words.
func words(n *strictyaml.Node, into *[]string) error {
	if n.Kind == strictyaml.List {
		return n.Decode(into)
	}
	*into = make([]string, 1)
	return n.Decode(&(*into)[0])
}

func (s selector) String() string {
	var parts []string
	if len(s.Names) > 0 {
		parts = append(parts, "name "+strings.Join(s.Names, ", "))
	}
	if len(s.Kinds) > 0 {
		parts = append(parts, "kind "+strings.Join(s.Kinds, ", "))
	}
	if s.Nth != "" {
		parts = append(parts, "nth "+s.Nth)
	}
	return strings.Join(parts, ", ")
}

// pick returns the places of the selected layers, at any depth. It returns an error if it selects
// none, or if no layer has one of the names.
func (s selector) pick(n *arch.Net) ([]arch.Place, error) {
	var names []string
	var picked []arch.Place
	for _, p := range n.Places() {
		l := p.Layer()
		names = append(names, l.Name)
		named := s.Names == nil || slices.Contains(s.Names, l.Name)
		if named && (s.Kinds == nil || slices.Contains(s.Kinds, l.Spec.Kind())) {
			picked = append(picked, p)
		}
	}
	for _, name := range s.Names {
		if !slices.Contains(names, name) {
			all := strings.Join(names, ", ")
			return nil, s.at.Errorf("net %s has no layer %s; it has %s", n.Name, strictyaml.Plain(name), all)
		}
	}
	if len(picked) == 0 {
		return nil, s.at.Errorf("%s selects no layer of net %s: %w", s, n.Name, ErrNoChange)
	}
	switch s.Nth {
	case "":
		return picked, nil
	case "first":
		return picked[:1], nil
	case "last":
		return picked[len(picked)-1:], nil
	}
	nth, err := strconv.Atoi(s.Nth)
	if err != nil || nth < 1 || nth > len(picked) {
		return nil, s.at.Errorf("nth is %s, but %d layers are selected; want first, last, or 1 to %d",
			strictyaml.Plain(s.Nth), len(picked), len(picked))
	}
	return picked[nth-1 : nth], nil
}

// Apply makes edits on a copy of a recipe. If an edit changes nothing, the error wraps ErrNoChange;
// if the net's shapes no longer fit, it wraps arch.ErrShape.
func Apply(r recipe.Recipe, edits ...Edit) (recipe.Recipe, error) {
	r = r.Clone()
	for _, e := range edits {
		before := r.Clone()
		if err := e.apply(&r); err != nil {
			return r, err
		}
		if reflect.DeepEqual(before, r) {
			return r, e.at.Errorf("this %s on %s: %w", e.action, subject(r), ErrNoChange)
		}
	}
	if len(edits) == 0 || r.Net == nil {
		return r, nil
	}
	last := edits[len(edits)-1].at
	if err := r.Net.Complete(); err != nil {
		return r, last.Errorf("after this edit, net %s: %v", r.Net.Name, err)
	}
	if _, err := r.Net.Infer(); err != nil {
		return r, last.Errorf("after this edit, %w", err)
	}
	return r, nil
}

// subject names what edits are made on.
func subject(r recipe.Recipe) string {
	if r.Net == nil {
		return "the params"
	}
	return "net " + r.Net.Name
}

func (e Edit) apply(r *recipe.Recipe) error {
	switch {
	case e.key != "":
		return e.applyKey(r)
	case r.Net == nil:
		return e.at.Errorf("a program trains in this study, and there are no layers to %s; write {key: params.…}", e.action)
	}
	picked, err := e.sel.pick(r.Net)
	if err != nil {
		return err
	}
	// In reverse, so that earlier places stay valid.
	switch e.action {
	case "remove":
		for _, p := range slices.Backward(picked) {
			e.remove(r, p)
		}
	case "replace":
		for _, p := range slices.Backward(picked) {
			l, name := p.Layer(), p.Layer().Name
			*l = e.with.Clone()
			if l.Name == "" {
				l.Name = name
			}
		}
	case "insert":
		if all := len(r.Net.Places()) + len(picked)*len(e.layers); all > arch.MaxLayers {
			return e.at.Errorf("this insert makes %d layers; a net has at most %d", all, arch.MaxLayers)
		}
		for _, p := range slices.Backward(picked) {
			e.insert(p)
		}
	case "set":
		for _, p := range picked {
			for _, k := range e.values.Keys() {
				if err := setLayer(p.Layer(), k, e.values.Get(k)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// remove removes a layer, together with its own rates and those of the layers inside it.
func (e Edit) remove(r *recipe.Recipe, p arch.Place) {
	gone := p.Layer().Names()
	r.Train.LayerRates = slices.DeleteFunc(r.Train.LayerRates, func(rate recipe.LayerRate) bool {
		copied := rate.Layer[strings.LastIndexByte(rate.Layer, '/')+1:] // of stage/2/conv1, conv1
		return slices.Contains(gone, rate.Layer) || slices.Contains(gone, copied)
	})
	*p.List = slices.Delete(*p.List, p.Index, p.Index+1)
}

// insert inserts new layers beside one.
func (e Edit) insert(p arch.Place) {
	at := p.Index
	if !e.before {
		at++
	}
	var fresh []arch.Layer
	for _, l := range e.layers {
		fresh = append(fresh, l.Clone())
	}
	*p.List = slices.Insert(*p.List, at, fresh...)
}

// setLayer sets one key of a layer, or scales it.
func setLayer(l *arch.Layer, key string, v *strictyaml.Node) error {
	v, err := scaled(l.Spec, key, v)
	if err != nil {
		return err
	}
	return l.Set(key, v)
}

// applyKey changes a key of the recipe that is not in the net.
func (e Edit) applyKey(r *recipe.Recipe) error {
	switch param := strings.HasPrefix(e.key, "params."); {
	case param && !r.IsProgram():
		return e.at.Errorf("%s: params belong to a program, and this study has no trainer", strictyaml.Plain(e.key))
	case param && e.action == "remove":
		return r.Params.Remove(e.key, e.at)
	case param:
		return r.Params.Set(e.key, e.value)
	case e.action == "remove":
		return e.at.Errorf("remove %s: only params can be removed; use set to give another key its default",
			strictyaml.Plain(e.key))
	case r.IsProgram() && !strings.HasPrefix(e.key, "trainer."):
		return e.at.Errorf("%s: a program trains in this study; want params.… or trainer.…",
			strictyaml.Plain(e.key))
	case !r.IsProgram() && strings.HasPrefix(e.key, "trainer."):
		return e.at.Errorf("%s: this study has no trainer", strictyaml.Plain(e.key))
	}
	v, err := scaled(r, e.key, e.value)
	if err != nil {
		return err
	}
	return strictyaml.SetField(r, e.key, v)
}

// scaled turns {times: 0.5} into the product with the present value.
func scaled(of any, key string, v *strictyaml.Node) (*strictyaml.Node, error) {
	times := v.Get("times")
	if v.Kind != strictyaml.Mapping || times == nil {
		return v, nil
	}
	var factor float64
	if err := times.Decode(&factor); err != nil {
		return nil, err
	}
	f, err := strictyaml.Field(of, key, v)
	if err != nil {
		return nil, err
	}
	switch f.Kind() {
	case reflect.Int:
		x := float64(f.Int()) * factor
		if x != math.Trunc(x) {
			return nil, v.Errorf("%s is %d; %v times that is not a whole number", key, f.Int(), factor)
		}
		return strictyaml.Value(v.Pos(), fmt.Sprint(int64(x)))
	case reflect.Float64:
		return strictyaml.Value(v.Pos(), fmt.Sprint(f.Float()*factor))
	default:
		return nil, v.Errorf("%s is not a number and cannot be scaled", key)
	}
}
