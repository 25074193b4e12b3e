# [setup]
git clone https://github.com/lfsproxy/lfsproxy
mkdir demo && cd demo
python3 -m venv .venv
. .venv/bin/activate
pip install "../lfsproxy/sdk/python[kafka-python]"
# [/setup]

# [clients]
pip install "../lfsproxy/sdk/python[aiokafka,confluent,prometheus,twisted]" boto3
# [/clients]
