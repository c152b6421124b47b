-- Whether the money came before, on or after the due date of what it paid.
case
    when received_date < due_date then 'in_advance'
    when received_date = due_date then 'on_due_date'
    else 'late'
end
