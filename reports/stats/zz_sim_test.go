package stats
import ("testing";"math/rand/v2")
func TestZZ(t *testing.T){
 r:=rand.New(rand.NewPCG(1,2))
 for _,c:=range [][2]int{{6,1},{7,1},{8,1},{9,1},{10,1},{12,1},{7,2},{8,2},{9,2},{8,4},{9,4},{10,4},{11,4},{12,4},{9,8},{10,8},{11,8},{12,8},{14,8}}{
  k,m:=c[0],c[1]; x:=SmallestEffect(1,k,m); hit:=0; n:=3000
  for range n { d:=make([]float64,k); for i:=range d{d[i]=x+r.NormFloat64()}; p:=ComparePaired(d); if p.P*float64(m)<=Alpha && p.Interval.Excludes(0) {hit++} }
  t.Logf("k=%d m=%d x=%.3f power=%.3f p4=%v p6=%v",k,m,x,float64(hit)/float64(n), float64(m)*2*smallestP(k)>Alpha, float64(m)*3*smallestP(k)>Alpha)
 }
}
