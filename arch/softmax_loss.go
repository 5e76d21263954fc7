package arch

import "fmt"

var _ = kind(loss, &SoftmaxLoss{})

// SoftmaxLoss ends a net: softmax over the classes and the mean cross-entropy to the label.
type SoftmaxLoss struct{ Elementwise }

func (*SoftmaxLoss) Kind() string           { return "softmax_loss" }
func (*SoftmaxLoss) stem() string           { return "loss" }
func (*SoftmaxLoss) Words(LayerInfo) string { return "softmax_loss" }

func (*SoftmaxLoss) place(p *LayerInfo, _ int) error {
	if p.In.Height != 1 || p.In.Width != 1 || p.In.Channels < 2 {
		return fmt.Errorf("%v is not 1×1×classes; put a dense layer before the loss: %w", p.In, ErrShape)
	}
	return nil
}
