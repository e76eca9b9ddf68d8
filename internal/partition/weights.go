package partition

// finest is a multiple of 1 to 16, so that weights can be shared by as many partitions without a rest; more leave one of
// no account.
const finest = 720720

// Weights returns the weights of partitions that give each queue the weight asked for, in equal parts for each of its
// partitions. If strict, the weights order the queues, and a partition has its queue's.
func (t *Table) Weights(queues map[string]int, strict bool) map[string]int {
	divided := false
	for queue := range queues {
		divided = divided || t.Count(queue) > 1
	}
	if !divided {
		return queues
	}
	weights := make(map[string]int)
	common := 0
	for queue, weight := range queues {
		partitions := t.Of(queue)
		for _, q := range partitions {
			weights[string(q)] = weight
			if !strict {
				weights[string(q)] = weight * finest / len(partitions)
			}
			common = divisor(common, weights[string(q)])
		}
	}
	for q := range weights {
		weights[q] /= max(common, 1)
	}
	return weights
}

// divisor returns the greatest common one; of 0 and b, b.
func divisor(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
