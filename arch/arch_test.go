package arch

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Totals and layers of reference nets: parameters and multiply-accumulates at
// the 55/27/13 grid, each derived by hand from the layer's shape (kernel² ·
// in/groups · out + out; without the biases times the output's pixels).
func TestCosts(t *testing.T) {
	for _, c := range []struct {
		net          string
		params, macs int64
	}{
		{"alexnet", 60_965_224, 724_406_816},
		{"alexnet-one-gpu", 59_798_312, 391_514_384},
		{"alexnet-torchvision", 61_100_840, 714_188_480},
		// The 2012 source's nets. Without overlap conv2 makes 26×26 maps and conv5 11×11
		// ones: 27² − 26² and 13² − 11² pixels fewer for their 307,200 and 442,368 weights.
		{"alexnet-2012-source", 60_965_224, 724_406_816},
		{"alexnet-2012-source-145-half", 59_798_312, 391_514_384},
		{"alexnet-2012-source-147", 60_965_224, 724_406_816 - 307_200*53 - 442_368*48},
		{"alexnet-2012-source-148", 60_965_224, 724_406_816},
		// conv2 5·5·48·320, conv3 3·3·160·384, fc6 6·6·128·8192, fc7 4096·4096.
		{"alexnet-2012-source-150", 34_944 + 384_320 + 553_344 + 663_936 + 442_624 + 37_756_928 + 16_781_312 + 4_097_000,
			724_323_872},
		{"alexnet-2012-source-167", 60_965_224, 724_406_816},
		{"caffe-alexnet", 60_965_224, 724_406_816},
		{"caffenet", 60_965_224, 724_406_816},
		// The convolutions of the paper's net; fc6 3·3·256·2048, fc7 2048², fc8 2048·1000.
		{"caffenet-128", 2_334_080 + 4_720_640 + 4_196_352 + 2_049_000, 208_986_240},
		{"one-weird-trick", 61_100_840, 714_188_480}, // torchvision publishes 61,100,840
		// Unsplit: conv1 7·7·3·96, conv2 5·5·96·256, conv4 3·3·384·384, conv5 3·3·384·256.
		{"zf", 14_208 + 614_656 + 885_120 + 1_327_488 + 884_992 + 37_752_832 + 16_781_312 + 4_097_000, 1_168_032_896},
		// conv1 4,864, conv2 102,464, 6·6 pixels of local3 3·3·64·32 and local4 3·3·32·32
		// (11pct: 3·3·64·64 and 3·3·64·32), each with a bias of its own, fc10 11,530. The
		// convolutions take 4,800 · 24² + 102,400 · 12² products.
		{"cuda-convnet-13pct", 4_864 + 102_464 + 36*(18_432+32) + 36*(9_216+32) + 11_530, 17_510_400 + 663_552 + 331_776 +
			11_520},
		{"cuda-convnet-11pct", 4_864 + 102_464 + 36*(36_864+64) + 36*(18_432+32) + 11_530, 17_510_400 + 1_327_104 + 663_552 +
			11_520},
		// The convolutions unsplit, 62,378,344 in all, and scale and shift of 9568 channels.
		{"alexnet-bn", 62_378_344 + 2*9_568, 1_135_256_096},
		// He et al. 2015 print 0.27, 0.46, 0.66, 0.85 and 1.7 M; the exact numbers are those of github.com/akamaster's
		// implementation with option A, and torchvision's for the nets for ImageNet. 3.8 G multiply-accumulates for
		// resnet-50 and 1.8 and 3.6 G for the others are the paper's.
		{"resnet-20", 269_722, 40_551_040},
		{"resnet-32", 464_154, 68_862_592},
		{"resnet-44", 658_586, 97_174_144},
		{"resnet-56", 853_018, 125_485_696},
		{"resnet-110", 1_727_962, 252_887_680},
		{"plain-20", 269_722, 40_551_040},
		{"plain-32", 464_154, 68_862_592},
		{"plain-44", 658_586, 97_174_144},
		{"plain-56", 853_018, 125_485_696},
		{"resnet-18", 11_689_512, 1_814_073_344},
		{"resnet-34", 21_797_672, 3_663_761_408},
		{"resnet-50", 25_557_032, 3_857_973_248},
		{"se-resnet-50", 28_088_024, 3_860_488_192}, // 28.1 M in table 2 of Hu et al.
		// A block of c channels has 2·c·r + r + c more weights, r = c/16.
		{"se-resnet-20", 269_722 + 3*(2*16+1+16) + 3*(2*32*2+2+32) + 3*(2*64*4+4+64), 40_553_056},
		// torchvision has these for vgg11, vgg13, vgg16 and vgg19; table 2 of the paper 133, 133, 134, 138 and 144 M.
		{"vgg-11", 132_863_336, 7_609_090_048},
		{"vgg-11-lrn", 132_863_336, 7_609_090_048},
		{"vgg-13", 133_047_848, 11_308_466_176},
		{"vgg-16-1x1", 133_638_952, 11_770_888_192},
		{"vgg-16", 138_357_544, 15_470_264_320},
		{"vgg-19", 143_667_240, 19_632_062_464},
		{"lenet-5", 156 + 2_416 + 48_120 + 10_164 + 850, 416_520},
		{"mlp", 784*800 + 800 + 800*800 + 800 + 800*10 + 10, 1_275_200},
		{"nin-cifar", 966_986, 222_486_528},           // Caffe's nin_cifar10
		{"googlenet", 6_998_552, 1_582_671_872},       // Caffe's bvlc_googlenet when it is deployed
		{"squeezenet", 1_248_424, 818_924_576},        // torchvision's squeezenet1_0
		{"mobilenet-v1", 4_231_976, 568_740_352},      // Keras's; the paper prints 4.2 M and 569 M
		{"densenet-bc-100-12", 769_162, 287_929_692},  // the authors'; the paper prints 0.8 M
		{"preact-resnet-110", 1_727_962, 252_887_680}, // 1.7 M in the paper
		{"caffe-cifar10-quick", 145_578, 12_354_176},
		{"caffe-cifar10-full", 89_578, 12_298_240},
		{"cuda-convnet-19pct", 89_578, 12_298_240},
		{"cuda-convnet-18pct", 89_578, 12_298_240},
		{"cuda-convnet-80sec", 145_578, 12_354_176},
	} {
		n, err := Nets.Load(c.net)
		if err != nil {
			t.Fatal(err)
		}
		got, err := n.Cost()
		if err != nil {
			t.Fatal(err)
		}
		if got.Params != c.params || got.MACs != c.macs {
			t.Errorf("%s: %d params, %d MACs; want %d, %d", c.net, got.Params, got.MACs, c.params, c.macs)
		}
	}
}

func TestAlexNetLayers(t *testing.T) {
	n, err := Nets.Load("alexnet")
	if err != nil {
		t.Fatal(err)
	}
	placed, err := n.Infer()
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		Out          string
		Params, MACs int64
	}
	want := map[string]row{
		"conv1": {"55×55×96", 34_944, 105_415_200}, "pool1": {"27×27×96", 0, 0},
		"conv2": {"27×27×256", 307_456, 223_948_800}, "pool2": {"13×13×256", 0, 0},
		"conv3": {"13×13×384", 885_120, 149_520_384}, "conv4": {"13×13×384", 663_936, 112_140_288},
		"conv5": {"13×13×256", 442_624, 74_760_192}, "pool5": {"6×6×256", 0, 0},
		"fc6": {"1×1×4096", 37_752_832, 37_748_736}, "fc7": {"1×1×4096", 16_781_312, 16_777_216},
		"fc8": {"1×1×1000", 4_097_000, 4_096_000},
	}
	got := map[string]row{}
	for _, p := range placed {
		if _, ok := want[p.Layer.Name]; ok {
			got[p.Layer.Name] = row{p.Out.String(), p.Params, p.MACs}
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("layers (-want +got):\n%s", d)
	}
}

// Every shipped net places, and survives a round trip through its stored form.
func TestShippedNets(t *testing.T) {
	for _, name := range Nets.Names() {
		n, err := Nets.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if n.Name != name {
			t.Errorf("nets/%s.yaml holds net %s", name, n.Name)
		}
		if n.Title == "" || n.Source == "" {
			t.Errorf("%s: title and source must say what it is and where it is from", name)
		}
		if _, err := n.Infer(); err != nil {
			t.Error(err)
		}
		text, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		back := new(Net)
		if err := json.Unmarshal(text, back); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		back.Title, back.Source = n.Title, n.Source
		if d := cmp.Diff(n, back, cmpopts.IgnoreFields(Part{}, "At")); d != "" {
			t.Errorf("%s changed in a round trip (-before +after):\n%s", name, d)
		}
	}
}

const head = "net: x\ninput: {height: 8, width: 8, channels: 3}\nlayers:\n"

func TestBadNets(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{head + "  - convv: {filters: 4}\n", "x.yaml:4: unknown layer kind convv; did you mean conv?"},
		{head + "  - conv: {filter: 4}\n", "x.yaml:4: unknown key filter; did you mean filters?"},
		{head + "  - conv: {filters: 4, kernel: three}\n", `x.yaml:4: kernel wants a whole number, found "three"`},
		{head + "  - conv: {filters: 4, kernel: 3, Stride: 1}\n",
			`x.yaml:4: key "Stride": keys are lower-case; write stride`},
		{head + "  - conv: {filters: 4, kernel: 3}\n", "x.yaml:4: conv: init needs a std above 0, or kind: he or uniform"},
		{head + "  - lrn: {size: 5, alpha: 1, beta: 0.75, k: 2}\n",
			"x.yaml:4: lrn: set alpha_over_size: true (Caffe, PyTorch, the 2012 source) or false (the paper's formula, " +
				"TensorFlow): implementations differ"},
		{head + "  - lrn: {size: 4, alpha: 1, beta: 0.75, k: 2, alpha_over_size: true}\n",
			"x.yaml:4: lrn: size is 4; want an odd number"},
		{head + "  - dropout: {rate: 1}\n", "x.yaml:4: dropout: rate is 1; want the share to set to zero, from 0 to below 1"},
		{head + "  - relu: {}\n  - relu: {name: relu1}\n  - relu: {name: relu1}\n",
			"x.yaml:1: net x: two layers are called relu1"},
		{head + "  - relu: {}\n", "x.yaml:1: net x: the last layer is relu1; a net must end with softmax_loss"},
		{head + "  - softmax_loss: {}\n  - relu: {}\n",
			"x.yaml:1: net x: layer loss1: softmax_loss must end a net, but relu comes after it"},
		{"net: x\nnet: y\n", "x.yaml:2: key net appears twice, first on line 1"},
		{"input: {height: 1}\n", "x.yaml:1: the net has no name: write net: NAME"},
		{head + "  - maxpool: {kernel: 2, pad: 2}\n",
			"x.yaml:4: maxpool: pad 2 leaves windows of a 2×2 kernel without pixels"},
		{head + "  - conv: {filters: 4, kernel: 3, pad: -1}\n", "x.yaml:4: pad must not be negative"},
		{head + "  - relu: {name: \"a\\nb\"}\n", "x.yaml:1: net x: a layer's name " +
			`"a\nb" has characters that cannot be printed`},
		{"net: \"x\\e[2J\"\n", `x.yaml:1: the net's name "x\x1b[2J" has characters that cannot be printed`},
		{"root:x:0:0:hidden\n", "x.yaml:1: a net is a mapping with the keys net, input and layers"},
		{head + "  - repeat: {times: 0, layers: [{relu: {}}]}\n",
			"x.yaml:4: repeat: times is 0; want at least 1"},
		{head + "  - repeat: {times: 3}\n", "x.yaml:4: repeat: layers is missing; list the layers to repeat"},
		{head + "  - residual: {layers: []}\n", "x.yaml:4: residual: layers is missing; a residual block adds its input " +
			"to their output"},
		{head + "  - residual: {shortcut: bypass, layers: [{relu: {}}]}\n", "x.yaml:4: residual: shortcut is \"bypass\"; " +
			"known: " +
			"identity, pad, projection, projection_always, concat, none"},
		{head + "  - branches: {paths: [[{relu: {}}]]}\n", "x.yaml:4: branches: paths has 1; want at least two"},
		{head + "  - branches: {paths: [{relu: {}}, []]}\n", "x.yaml:4: paths wants a list, found a mapping of 1 key"},
		{head + "  - residual: {layers: [{relu: {name: r}}]}\n  - relu: {name: r}\n",
			"x.yaml:1: net x: two layers are called r"},
		{head + "  - residual:\n      layers:\n        - rellu: {}\n", "x.yaml:6: unknown layer kind rellu; did you mean " +
			"relu?"},
		{head + "  - residual: {layers: [{softmax_loss: {name: l}}]}\n",
			"x.yaml:1: net x: a softmax_loss is inside a part; it must end the net"},
		{head + "  - repeat: {times: 4096, layers: [{repeat: {times: 4096, layers: [{repeat: {times: 4096, layers: [{relu: " +
			"{}}]}}]}}]}\n", "x.yaml:1: net x: more than 4096 layers, counting each copy of repeated ones"},
		{head + "  - " + strings.Repeat("repeat: {times: 1, layers: [{", 10) + "relu: {name: r}" + strings.Repeat("}]}", 10) +
			"\n  - softmax_loss: {}\n", "x.yaml:1: net x: a repeat is inside 9 parts; want at most 8"},
		{head + "  - concat: {}\n", "x.yaml:4: unknown layer kind concat; a net has layers of these kinds: " +
			strings.Join(Kinds(), ", ")},
	} {
		_, err := Parse("x.yaml", []byte(c.yaml))
		if err == nil || err.Error() != c.want {
			t.Errorf("%s\ngives %v\nwant  %s", c.yaml, err, c.want)
		}
	}
}

func TestShapesThatDoNotFit(t *testing.T) {
	for _, c := range []struct{ columns, layers, want string }{
		{"1", "  - maxpool: {kernel: 9}\n",
			"net x, layer pool1 after the input: a 9×9 window does not fit 8×8×3: the output would be 0×0×3"},
		{"2", "  - conv: {filters: 4, kernel: 3, within_column: true, init: {kind: he}}\n",
			"net x, layer conv1 after the input: 8×8×3 cannot be split into 2 groups with 4 filters"},
		{"1", "  - relu: {}\n",
			"net x, layer loss1 after relu1: 8×8×3 is not 1×1×classes; put a dense layer before the loss"},
		{"2", "  - lrn: {size: 3, alpha: 1, beta: 0.75, k: 1, alpha_over_size: true}\n",
			"net x, layer norm1 after the input: 8×8×3 cannot be split into 2 columns"},
	} {
		n, err := Parse("x.yaml", []byte("columns: "+c.columns+"\n"+head+c.layers+"  - softmax_loss: {}\n"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = n.Infer()
		if !errors.Is(err, ErrShape) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.layers, err, c.want)
		}
	}
}

// Parts whose shapes do not fit are named with file and line, part and both shapes.
func TestPartsThatDoNotFit(t *testing.T) {
	conv := func(filters, stride int) string {
		return fmt.Sprintf("{conv: {filters: %d, kernel: 3, pad: 1, stride: %d, init: {kind: he}}}", filters, stride)
	}
	for _, c := range []struct{ layer, want string }{
		{"residual: {name: b, layers: [" + conv(4, 1) + "]}", "its layers turn 8×8×3 into 8×8×4, but shortcut identity " +
			"needs equal " +
			"shapes; pad and projection fit others"},
		{"residual: {name: b, shortcut: pad, layers: [" + conv(2, 1) + "]}",
			"its layers turn 8×8×3 into 8×8×2, but shortcut pad only adds " +
				"channels; projection can remove some"},
		{"residual: {name: b, shortcut: pad, layers: [{conv: {filters: 4, kernel: 2, init: {kind: he}}}]}",
			"its layers turn 8×8×3 into 7×7×4, and no stride leads there for shortcut pad"},
		{"residual: {name: b, shortcut: projection, layers: [{dense: {outputs: 3, init: {kind: he}}}, {relu: {}}, " +
			"{spatialpyramid: {levels: [2]}}]}", "spatialpyramid"},
		{"residual: {name: b, shortcut: concat, layers: [" + conv(4, 2) + "]}",
			"its layers turn 8×8×3 into 4×4×4, but shortcut " +
				"concat needs images of one size"},
		{"branches: {name: b, paths: [[], [" + conv(4, 2) + "]]}", "path 1 outputs 8×8×3 and path 2 4×4×4; " +
			"join concat needs images of one size"},
		{"branches: {name: b, join: add, paths: [[], [" + conv(4, 1) + "]]}",
			"path 1 outputs 8×8×3 and path 2 8×8×4; join add " +
				"needs equal shapes"},
	} {
		n, err := Parse("x.yaml", []byte(head+"  - "+c.layer+"\n  - dense: {outputs: 2, init: {kind: he}}\n  - "+
			"softmax_loss: {}\n"))
		if err != nil {
			t.Fatal(err)
		}
		want := "x.yaml:4: net x, part b: " + c.want + ": shapes do not fit"
		if c.want == "spatialpyramid" { // a layer in a part is named as any other
			want = "net x, layer pool1 after relu1: a grid of 2×2 cells does not fit 1×1×3: shapes do not fit"
		}
		if _, err = n.Infer(); !errors.Is(err, ErrShape) || err.Error() != want {
			t.Errorf("%s:\n%v, want\n%s", c.layer, err, want)
		}
	}
}

// Windows of pooling layers, rounded down and up: the sizes of the nets in question.
func TestOutputs(t *testing.T) {
	for _, c := range []struct {
		size, kernel, stride, before, after int
		ceil                                bool
		want                                int
	}{
		{size: 224, kernel: 11, stride: 4, before: 0, after: 3, ceil: false, want: 55},
		{size: 55, kernel: 3, stride: 2, before: 0, after: 0, ceil: false, want: 27},
		{size: 55, kernel: 2, stride: 2, before: 0, after: 0, ceil: true, want: 28},
		{size: 11, kernel: 2, stride: 2, before: 0, after: 0, ceil: true, want: 6},
		{size: 32, kernel: 3, stride: 2, before: 0, after: 0, ceil: true, want: 16},
		{size: 32, kernel: 3, stride: 2, before: 0, after: 0, ceil: false, want: 15},
		{size: 8, kernel: 3, stride: 2, before: 0, after: 0, ceil: true, want: 4},
		{size: 4, kernel: 2, stride: 2, before: 1, after: 1, ceil: true, want: 3},
		{size: 2, kernel: 3, stride: 1, before: 0, after: 0, ceil: false, want: 0},
		{size: 1, kernel: 2, stride: 2, before: 0, after: 0, ceil: true, want: 1},
	} {
		if got := outputs(c.size, c.kernel, c.stride, c.before, c.after, c.ceil); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

func TestUnknownNet(t *testing.T) {
	if _, err := Nets.Load("alexnett"); err == nil || err.Error() != "no net is called alexnett; did you mean alexnet?" {
		t.Error(err)
	}
}

func TestCloneIsDeep(t *testing.T) {
	n, _ := Nets.Load("alexnet")
	c := n.Clone()
	*c.Layers[2].Spec.(*LRN).AlphaOverSize = true
	c.Layers[0].Spec.(*Conv).Filters = 1
	if *n.Layers[2].Spec.(*LRN).AlphaOverSize || n.Layers[0].Spec.(*Conv).Filters == 1 {
		t.Error("changing the clone changed the net")
	}
}

// A net file is untrusted: no panic, and no shape that Infer lets through is absurd.
func FuzzParse(f *testing.F) {
	for _, name := range Nets.Names() {
		f.Add(Nets.Text(name))
	}
	f.Add(head + "  - conv: {filters: 1000000000, kernel: 1000000000, init: {kind: he}, pad: 1000000000}\n" +
		"  - softmax_loss: {}\n")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := Parse("fuzz", []byte(text))
		if err != nil {
			return
		}
		placed, err := n.Infer()
		for _, p := range placed {
			if err == nil && (p.Out.Len() < 1 || p.Params < 0) {
				t.Errorf("%s: %v, %d params", p.Layer.Name, p.Out, p.Params)
			}
		}
	})
}
