;; Turns every channel at a tenth of its upper limit, steadily: what a drive is told then changes with a stop and with
;; nothing else. For robots whose channels are all velocities (examples/robots/diff_drive.toml).
(module
  (import "command" "set" (func $set (param i32 f64) (result i32)))
  (import "command" "count" (func $count (result i32)))
  (import "command" "limit_max" (func $limit_max (param i32) (result f64)))
  (func (export "process") (param $tick i64)
    (local $channel i32)
    (loop $next
      (drop (call $set (local.get $channel)
        (f64.mul (f64.const 0.1) (call $limit_max (local.get $channel)))))
      (br_if $next (i32.lt_u
        (local.tee $channel (i32.add (local.get $channel) (i32.const 1))) (call $count))))))
