\ For forth.wasm: polymerase run --aot forth.wasm < primes.fth
: prime? ( n -- flag )  dup 2 < if drop 0 else
    2 begin over over mod 0 = invert while 1 + repeat  \ n and its smallest factor
    = then ;
variable found
: primes ( n -- )
    0 found !
    2 do i prime? if i . found @ 1 + found ! then loop
    cr found @ . ." primes" cr ;
: fib ( n -- f )  dup 2 < if else dup 1 - recurse swap 2 - recurse + then ;
: gcd ( a b -- g )  begin dup while swap over mod repeat drop ;
: table ( n -- )  1 + dup 1 do dup 1 do i j * . loop cr loop drop ;
100 primes
20 fib . 1071 462 gcd . cr
5 table
