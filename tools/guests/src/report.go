// A Go program for the checks: JSON, sorting, maps, fmt, strings, goroutines, standard input, arguments and environment.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
)

type entry struct {
	Word   string   `json:"word"`
	Count  int      `json:"count"`
	Places []int    `json:"places,omitempty"`
	Note   *float64 `json:"note"`
}

func count(lines <-chan string, done chan<- map[string]*entry) {
	found := map[string]*entry{}
	n := 0
	for line := range lines {
		n++
		for _, word := range strings.FieldsFunc(line, func(r rune) bool { return r < 'A' || r > 'z' }) {
			word = strings.ToLower(word)
			if found[word] == nil {
				found[word] = &entry{Word: word}
			}
			found[word].Count++
			if len(found[word].Places) < 3 {
				found[word].Places = append(found[word].Places, n)
			}
		}
	}
	done <- found
}

func divide(a, b int) (result int, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("recovered: %v", r)
		}
	}()
	return a / b, nil
}

func main() {
	lines, done := make(chan string), make(chan map[string]*entry)
	go count(lines, done)
	input := bufio.NewScanner(os.Stdin)
	total := 0
	for input.Scan() {
		total++
		lines <- input.Text()
	}
	close(lines)
	found := <-done
	var entries []entry
	for _, e := range found {
		entries = append(entries, *e)
	}
	sort.Slice(entries, func(i, j int) bool {
		a, b := entries[i], entries[j]
		return a.Count > b.Count || a.Count == b.Count && a.Word < b.Word
	})
	if len(entries) > 5 {
		entries = entries[:5]
	}
	text, err := json.MarshalIndent(entries, "", " ")
	if err != nil {
		panic(err)
	}
	fmt.Printf("%d lines, args %q, LANG=%q\n%s\n", total, os.Args[1:], os.Getenv("LANG"), text)
	var back []entry
	fmt.Println(json.Unmarshal(text, &back), len(back), back[0].Word == entries[0].Word)
	_, err = divide(1, total-total)
	fmt.Println(err)
	var missing *os.PathError
	_, err = os.ReadFile("/no/such/file")
	fmt.Printf("%8.3f|%-6s|%+d|%x|%v|%t\n", 3.14159, "go", 42, "hex", []any{1, "a", nil, 2.5}, errors.As(err, &missing))
	for _, name := range os.Args[1:] {
		data, err := os.ReadFile(name)
		fmt.Println(name, len(data), err)
	}
	os.Exit(3)
}
