# What Rack reads of a form: a line of JSON for each line [type, body in Base64].
require "json"
require "stringio"
require "set"
require "uri"
require "rack"
$stdout.sync = true
$stdin.each_line do |line|
  type, data = JSON.parse(line)
  data = data.unpack1("m")
  found = []
  begin
    env = { "REQUEST_METHOD" => "POST", "CONTENT_TYPE" => type, "CONTENT_LENGTH" => data.bytesize.to_s,
            "rack.input" => StringIO.new(data), "QUERY_STRING" => "" }
    walk = lambda do |name, value|
      case value
      when Hash
        if value[:tempfile] then found << [name.unpack1("H*"), value[:tempfile].read.unpack1("H*")]
        else value.each { |key, inner| walk.call(name.empty? ? key : "#{name}[#{key}]", inner) } end
      when Array then value.each { |inner| walk.call("#{name}[]", inner) }
      else found << [name.b.unpack1("H*"), value.to_s.b.unpack1("H*")]
      end
    end
    walk.call("", Rack::Request.new(env).POST)
  rescue StandardError => error
    warn error.full_message if ENV["FORM_DEBUG"]
    found = []
  end
  puts JSON.generate(found)
end
