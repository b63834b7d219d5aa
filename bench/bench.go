package main

import "fmt"

func bench(redis, only string, rounds int) error {
	var base [3]int64
	for i, n := range []int{0, 2000, 10000} {
		p, err := connect("tidings", redis, max(n, 1), "tidings-idle")
		if err != nil {
			return err
		}
		var r serverReport
		p.server.ask(serverOrder{Do: "memory"}, &r)
		base[i] = r.RSS
		p.stop()
		fmt.Println(n, r.RSS)
	}
	fmt.Println("KB per conn", float64(base[2]-base[1])/8000/1024)
	return nil
}
