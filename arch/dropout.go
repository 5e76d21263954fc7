package arch

import "fmt"

var _ = kind(regularisation, &Dropout{})

// Dropout sets random activations to 0 in training, each with probability rate. At test it
// multiplies all activations by 1 − rate (the paper, section 4.2).
type Dropout struct {
	Elementwise
	// the probability: the share of activations set to 0
	Rate float64 `yaml:"rate" min:"0" below:"1" example:"0.5"`
	// multiply by 1/(1−rate) in training instead, and change nothing at test, like most later
	// programs
	Inverted bool `yaml:"inverted" json:",omitempty" example:"true"`
}

func (*Dropout) Kind() string { return "dropout" }
func (*Dropout) stem() string { return "drop" }

// Words returns a form such as "dropout 0.5".
func (l *Dropout) Words(LayerInfo) string { return fmt.Sprintf("dropout %v", l.Rate) }

func (l *Dropout) check() error {
	if l.Rate < 0 || l.Rate >= 1 {
		return fmt.Errorf("rate is %v; want the share to set to zero, from 0 to below 1", l.Rate)
	}
	return nil
}
