"""Power hardware of the charging station: the HAL contract, supply control, safety supervisor."""
