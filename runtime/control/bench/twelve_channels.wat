;; Reads twelve states and writes twelve commands, each through the host: the work of one tick that tick_bench.py measures.
(module
  (import "command" "set" (func $set (param i32 f64) (result i32)))
  (import "state" "get" (func $get (param i32) (result f64)))
  (func (export "process") (param $tick i64)
    (local $channel i32)
    (loop $next
      (drop (call $set (local.get $channel)
        (f64.mul (f64.const 0.5) (call $get (local.get $channel)))))
      (br_if $next (i32.lt_u
        (local.tee $channel (i32.add (local.get $channel) (i32.const 1)))
        (i32.const 12))))))
