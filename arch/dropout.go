package arch

import "fmt"

var _ = kind(regularisation, &Dropout{})

// Dropout sets each activation to 0 with a probability in training and
// multiplies by its complement at test (the paper, section 4.2).
type Dropout struct {
	Elementwise
	// the probability: the share of activations set to 0
	Rate float64 `yaml:"rate" min:"0" below:"1" example:"0.5"`
	// multiply by 1/(1−rate) in training instead and do nothing at test, as most later programs do
	Inverted bool `yaml:"inverted" json:",omitempty" example:"true"`
}

func (*Dropout) Kind() string { return "dropout" }
func (*Dropout) stem() string { return "drop" }

// Words are as in "dropout 0.5".
func (l *Dropout) Words(LayerInfo) string { return fmt.Sprintf("dropout %v", l.Rate) }

func (l *Dropout) check() error {
	if l.Rate < 0 || l.Rate >= 1 {
		return fmt.Errorf("rate is %v; it is the share set to zero, from 0 to below 1", l.Rate)
	}
	return nil
}
